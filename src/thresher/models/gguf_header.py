"""The beginning of a .gguf file, walked through with every length checked, before a library believes it.

A length that was damaged, or made up, has readers of the format go on for ever or take all memory there is.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from thresher.errors import ModelError

STRING, ARRAY = 8, 9
BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of a value, by its type's number
MOST_ENTRIES = 1 << 24  # of all lists together; the largest vocabularies in use have some million
VERSIONS = (2, 3)


def elements(path: Path) -> int:
    """How many numbers the tensors of the file have.

    Raises:
        ModelError: it is not such a file, or says lengths of itself that it does not have.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            return _Walk(file, size).elements()
        except (struct.error, ValueError) as error:
            raise ModelError(
                f"{path} is not a whole GGUF file: {error}, at byte {file.tell():,} of {size:,}. Get it again."
            ) from error


class _Walk:
    """From the first byte to the last that describes; raises ValueError where something cannot be."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.entries = file, size, 0

    def elements(self) -> int:
        magic, version, tensors, fields = self.read("<4sIQQ")
        if magic != b"GGUF":
            raise ValueError("it does not begin with the letters GGUF")
        if version not in VERSIONS:
            raise ValueError(f"it is of version {version}, and {VERSIONS} can be read")
        for _ in range(self.possible(fields)):
            self.string()
            self.value(self.read("<I")[0])
        found = sum(self.tensor() for _ in range(self.possible(tensors)))
        if not found:
            raise ValueError("there is no tensor in it")
        if found > 8 * self.size:  # one bit each is the least
            raise ValueError(f"it says that it holds {found:,} numbers, which it is too short for")
        return found

    def tensor(self) -> int:
        self.string()
        (dimensions,) = self.read("<I")
        if not 0 < dimensions <= 4:
            raise ValueError(f"a tensor has {dimensions} dimensions")
        held = 1
        for length in self.read(f"<{dimensions}Q"):
            held *= length
        self.read("<IQ")  # how it is packed, and where
        return held

    def value(self, kind: int) -> None:
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            inner, count = self.read("<IQ")
            self.entries += self.possible(count)
            if self.entries > MOST_ENTRIES:
                raise ValueError(f"its lists have more than {MOST_ENTRIES:,} entries")
            if inner == STRING:
                for _ in range(count):
                    self.string()
            else:
                self.skip(count * self.bytes_of(inner))
        else:
            self.skip(self.bytes_of(kind))

    def bytes_of(self, kind: int) -> int:
        if kind not in BYTES:
            raise ValueError(f"a value is of type {kind}, which there is not")
        return BYTES[kind]

    def string(self) -> None:
        self.skip(self.read("<Q")[0])

    def possible(self, count: int) -> int:
        """The same number; each of them takes a byte at least.

        Raises:
            ValueError: there is no room for so many.
        """
        if count > self.size - self.file.tell():
            raise ValueError(f"{count:,} are said to follow, for which there is no room")
        return int(count)

    def skip(self, length: int) -> None:
        self.file.seek(self.possible(length), 1)

    def read(self, form: str) -> tuple:
        return struct.unpack(form, self.file.read(struct.calcsize(form)))
