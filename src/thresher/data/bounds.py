"""What a packed file may unpack to: a small file that becomes a huge one is a mistake or an attack."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

from thresher.errors import PoolError

VARIABLE = "THRESHER_MAX_UNPACKED"
TIMES = 100  # text packs four to ten times, logs and templates up to some fifty
LEAST = 4 << 30  # bytes that any file may unpack to
UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}


def most(path: Path) -> int:
    """Bytes that a file may unpack to: as `--max-unpacked` says, else a hundred times its size, or 4 GiB.

    Raises:
        PoolError: the size that was asked for cannot be read.
    """
    asked = os.environ.get(VARIABLE)
    if asked is None:
        return max(LEAST, TIMES * path.stat().st_size)
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?)B?", asked.strip().upper())
    if match is None:
        raise PoolError(f"cannot read {asked!r} as a size for --max-unpacked ({VARIABLE}). Write 500MB, 50GB or bytes.")
    return int(float(match[1]) * UNITS[match[2]])


def refuse(path: Path, allowed: int) -> None:
    """Say so, with the way out.

    Raises:
        PoolError: always.
    """
    raise PoolError(
        f"{path} ({path.stat().st_size:,} bytes) unpacks to more than {allowed:,} bytes. If that is what it should be, "
        "say thresher --max-unpacked 50GB before the command."
    )


class Bounded(io.RawIOBase):
    """A stream that may only give so many bytes."""

    def __init__(self, packed: Any, path: Path) -> None:  # noqa: ANN401 - any stream
        super().__init__()
        self.packed, self.path, self.allowed, self.given = packed, path, most(path), 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        """Some bytes, or the error that these would be too many."""
        content = self.packed.read1(len(buffer)) if hasattr(self.packed, "read1") else self.packed.read(len(buffer))
        self.given += len(content)
        if self.given > self.allowed:
            refuse(self.path, self.allowed)
        buffer[: len(content)] = content
        return len(content)


def check_parquet(metadata: Any, path: Path) -> None:  # noqa: ANN401
    """Raise where a parquet file says it unpacks to more than is allowed, before a page of it is read.

    Values that repeat are stored once and counted once there: the least that each row takes is counted too.
    """
    allowed = most(path)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    if max(sum(group.total_byte_size for group in groups), metadata.num_rows) > allowed:
        refuse(path, allowed)
