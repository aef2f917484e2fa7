"""Rows that say the same: exactly, after normalising, or nearly, by MinHash.

Near means a Jaccard similarity of at least 0.8 between the sets of word 5-grams (3-grams in rows under 40
words). Candidates come from datasketch's index; each is then compared in full, so that none is reported
wrongly. The index finds a pair at 0.8 with probability 0.95, one at 0.9 with 0.9999.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int

from thresher.core.pool import Pool

if TYPE_CHECKING:
    from datasketch import MinHash

THRESHOLD = 0.8
BANDS, BAND_SIZE = 16, 8  # 1 - (1 - J^8)^16
SHORT = 40  # words under which shingles are shorter
_SEED = 1
_PERMUTATIONS = BANDS * BAND_SIZE


@dataclass(frozen=True)
class Repeats:
    """Rows that repeat an earlier row: (row, the row it repeats), rows in pool order."""

    exact: list[tuple[int, int]]
    near: list[tuple[int, int]]  # never a row that is in `exact`


class Overlap(NamedTuple):
    """Rows that two pools share; a near row is never an exact one."""

    pool_exact: Int[np.ndarray, " m"]  # rows of the pool, rising
    target_exact: Int[np.ndarray, " m"]
    pool_near: Int[np.ndarray, " m"]
    target_near: Int[np.ndarray, " m"]


def normalised(text: str) -> str:
    """Lower-case, with every run of blanks as one."""
    return " ".join(text.lower().split())


def repeats(pool: Pool) -> Repeats:
    """Rows of a pool that repeat an earlier one."""
    first: dict[bytes, int] = {}
    exact: list[tuple[int, int]] = []
    near: list[tuple[int, int]] = []
    index = _Index()
    for i, text in enumerate(_texts(pool)):
        before = first.setdefault(_sign(text), i)
        if before != i:
            exact.append((i, before))
            continue
        like = index.nearest(text)
        if like is None:
            index.add(i, text)
        else:
            near.append((i, like))
    return Repeats(exact, near)


def rows_also_in(pool: Pool, target: Pool, *, near: bool = False) -> Overlap:
    """Rows of the pool whose text also stands in the target.

    Args:
        pool: where rows would be chosen from.
        target: what must not be in it.
        near: look for near copies as well, which takes far longer.
    """
    held: dict[bytes, int] = {}
    index = _Index() if near else None
    target_near: set[int] = set()
    for z, text in enumerate(_texts(target)):
        if held.setdefault(_sign(text), z) == z and index is not None:
            index.add(z, text)
    found: set[bytes] = set()
    pool_exact, pool_near = [], []
    for i, text in enumerate(_texts(pool)):
        sign = _sign(text)
        if sign in held:
            pool_exact.append(i)
            found.add(sign)
        elif index is not None and (like := index.all_near(text)):
            pool_near.append(i)
            target_near |= set(like)
    target_exact = [z for z, text in enumerate(_texts(target)) if _sign(text) in found]
    target_near -= set(target_exact)
    lists = (pool_exact, target_exact, pool_near, sorted(target_near))
    return Overlap(*(np.array(rows, dtype=np.int64) for rows in lists))


def shingles(text: str) -> set[str]:
    """The word n-grams of a normalised text; a text too short for one is its own."""
    words = text.split()
    size = 5 if len(words) >= SHORT else 3
    return {" ".join(words[i : i + size]) for i in range(len(words) - size + 1)} or {text}


class _Index:
    """Texts by the shingles they share."""

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH  # here, because exact copies are looked for without it

        self._lsh = MinHashLSH(num_perm=_PERMUTATIONS, params=(BANDS, BAND_SIZE))
        self._empty = MinHash(num_perm=_PERMUTATIONS, seed=_SEED, hashfunc=zlib.crc32)
        self._texts: dict[int, str] = {}
        self._last: tuple[str, set[str], MinHash] | None = None

    def add(self, key: int, text: str) -> None:
        self._lsh.insert(key, self._signed(text)[1])
        self._texts[key] = text

    def nearest(self, text: str) -> int | None:
        """The first text that is near, if one is."""
        return min(self.all_near(text), default=None)

    def all_near(self, text: str) -> list[int]:
        own, signature = self._signed(text)
        return [
            key
            for key in self._lsh.query(signature)
            if _jaccard(own, shingles(self._texts[key])) >= THRESHOLD
        ]

    def _signed(self, text: str) -> tuple[set[str], MinHash]:
        if self._last is None or self._last[0] != text:
            own = shingles(text)
            signature = self._empty.copy()
            signature.update_batch([shingle.encode() for shingle in own])
            self._last = (text, own, signature)
        return self._last[1:]


def _jaccard(a: set[str], b: set[str]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def _texts(pool: Pool) -> Iterator[str]:
    for _, part in pool.parts(4096):
        yield from map(normalised, part.text())


def _sign(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
