"""Checksums of what rests on a disk: a file cut short or with one bit turned is noticed before it is used.

CRC-32 finds every fault of up to 32 neighbouring bits. It is against accidents: whoever can write into the store can
write a fitting checksum too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

BLOCK = 1 << 20  # bytes read at a time
FIELD = "crc32"


def of_bytes(content: bytes | memoryview, before: int = 0) -> int:
    """Going on from the checksum of what stands before."""
    return zlib.crc32(content, before)


def of_file(path: Path) -> str:
    """Eight hex digits of a file's bytes."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found = zlib.crc32(block, found)
    return f"{found:08x}"


def of_file_once(path: Path) -> str:
    """The same; a file that was not touched since is not read again by this process."""
    about = path.stat()
    return _remembered(str(path), about.st_size, about.st_mtime_ns, about.st_ino)


@lru_cache(maxsize=4096)
def _remembered(path: str, size: int, changed: int, inode: int) -> str:
    return of_file(Path(path))


def signed(values: Mapping[str, Any]) -> dict[str, Any]:
    """With a checksum of themselves."""
    return {**values, FIELD: _of_values(values)}


def fits(values: Mapping[str, Any]) -> bool:
    """Whether signed values are as they were written; values that were never signed cannot be told and pass."""
    return FIELD not in values or values[FIELD] == _of_values({k: v for k, v in values.items() if k != FIELD})


def _of_values(values: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(values, sort_keys=True).encode()):08x}"
