"""The pools' own Arrow files in the cache: put there whole with a checksum beside them, and looked at before use."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from thresher.core import checksum
from thresher.core.disk import write_bytes

log = logging.getLogger(__name__)


def put(whole: Path, path: Path) -> None:
    """A finished file in its place; its checksum first."""
    write_bytes(_sum_of(path), checksum.of_file(whole).encode())
    os.replace(whole, path)


def sound(path: Path) -> bool:
    """Whether the file is there and as it was written; damage is said. One without a checksum is taken as it is."""
    if not path.exists():
        return False
    said = _sum_of(path)
    if not said.exists() or said.read_text(encoding="utf-8").strip() == checksum.of_file_once(path):
        return True
    log.warning("%s is damaged (its checksum is another): the rows are read again from their source", path)
    return False


def _sum_of(path: Path) -> Path:
    return path.with_name(path.name + ".crc32")
