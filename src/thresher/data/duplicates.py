"""Rows that say the same: exactly, after normalising, or nearly, by MinHash.

Near means a Jaccard similarity of at least 0.8 between the sets of word 5-grams (3-grams in rows under 40
words). Candidates are rows whose sketches share a band (`minhash`); each is then compared in full, so that none is
reported wrongly. A pair at 0.8 is found with probability 0.95, one at 0.9 with 0.9999.

What is kept is 150 bytes a row, in arrays: texts of candidates are read again where they are compared.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt64

from thresher.core.pool import Pool
from thresher.data import minhash

THRESHOLD = 0.8
BLOCK = 4096  # rows read at a time
REMEMBERED = 4096  # texts whose n-grams are kept while candidates are compared


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
    """Rows of a pool that repeat an earlier one; near copies of near copies do not count, of what stays they do."""
    signs = np.empty((len(pool), 2), np.uint64)
    bands = np.empty((len(pool), minhash.BANDS), np.uint64)
    start = 0
    for texts in _blocks(pool):
        signs[start : start + len(texts)] = _signs(texts)
        bands[start : start + len(texts)] = minhash.bands(texts)
        start += len(texts)
    first = _first_alike(signs)
    del signs
    again = np.flatnonzero(first != np.arange(len(pool)))
    exact = list(zip(again.tolist(), first[again].tolist(), strict=True))
    once = np.flatnonzero(first == np.arange(len(pool)))
    return Repeats(exact, _near(pool, once, bands))


def rows_also_in(pool: Pool, target: Pool, *, near: bool = False) -> Overlap:
    """Rows of the pool whose text also stands in the target.

    Args:
        pool: where rows would be chosen from.
        target: what must not be in it.
        near: look for near copies as well, which takes far longer.
    """
    asked = [text for texts in _blocks(target) for text in texts]
    held: dict[bytes, int] = {}
    for z, text in enumerate(asked):
        held.setdefault(_sign(text), z)
    index = _Index([asked[z] for z in held.values()], list(held.values())) if near else None
    target_near: set[int] = set()
    found: set[bytes] = set()
    pool_exact: list[int] = []
    pool_near: list[int] = []
    start = 0
    for texts in _blocks(pool):
        like = index.near(texts) if index is not None else {}
        for i, text in enumerate(texts):
            sign = _sign(text)
            if sign in held:
                pool_exact.append(start + i)
                found.add(sign)
            elif i in like:
                pool_near.append(start + i)
                target_near |= like[i]
        start += len(texts)
    target_exact = [z for z, text in enumerate(asked) if _sign(text) in found]
    target_near -= set(target_exact)
    lists = (pool_exact, target_exact, pool_near, sorted(target_near))
    return Overlap(*(np.array(rows, dtype=np.int64) for rows in lists))


def shingles(text: str) -> frozenset[str]:
    """The word n-grams of a normalised text; a text too short for one is its own."""
    words = text.split()
    size = minhash.gram_size(len(words))
    return frozenset(" ".join(words[i : i + size]) for i in range(len(words) - size + 1)) or frozenset([text])


def _first_alike(signs: UInt64[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """The first row with the same sign: itself, where none is earlier."""
    order = np.lexsort((signs[:, 1], signs[:, 0]))  # stable: rows of one sign stay in order
    new = np.ones(len(signs), dtype=bool)
    new[1:] = False
    for half in signs.T:
        sorted_half = half[order]
        new[1:] |= sorted_half[1:] != sorted_half[:-1]
    begin = np.maximum.accumulate(np.where(new, np.arange(len(signs)), 0))  # of each sign's run in the order
    first = np.empty(len(signs), dtype=np.int64)
    first[order] = order[begin]
    return first


def _near(
    pool: Pool, rows: Int[np.ndarray, " m"], bands: UInt64[np.ndarray, "n bands"]
) -> list[tuple[int, int]]:
    """(row, the first kept row it is near); a row that is near one is not kept for others."""
    row, bucket = _collisions(rows, bands)
    text = _Texts(pool)
    kept: defaultdict[int, list[int]] = defaultdict(list)
    near: list[tuple[int, int]] = []
    edges = np.flatnonzero(np.diff(row, prepend=-1, append=-1)) if len(row) else np.zeros(1, np.int64)
    for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        i, buckets = int(row[a]), bucket[a:b].tolist()
        before = sorted({j for one in buckets for j in kept[one]})
        like = next((j for j in before if _jaccard(text.shingles(i), text.shingles(j)) >= THRESHOLD), None)
        if like is not None:
            near.append((i, like))
            continue
        for one in buckets:
            kept[one].append(i)
    return near


def _collisions(
    rows: Int[np.ndarray, " m"], bands: UInt64[np.ndarray, "n bands"]
) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """(row, bucket) of every row that shares a bucket with another, by row; a bucket is a band and its value."""
    found_rows, found_buckets, buckets = [], [], 0
    for band in range(bands.shape[1]):
        key = bands[rows, band]
        order = np.argsort(key, kind="stable")
        same = key[order[1:]] == key[order[:-1]]  # as the one before
        shared = np.append(same, False) | np.append(False, same) if len(rows) else np.zeros(0, bool)
        number = np.cumsum(~np.append(False, same))[shared] if len(rows) else np.zeros(0, np.int64)
        found_rows.append(rows[order[shared]])
        found_buckets.append(np.unique(number, return_inverse=True)[1] + buckets)
        buckets += len(np.unique(number))
    row, bucket = np.concatenate(found_rows), np.concatenate(found_buckets)
    by_row = np.argsort(row, kind="stable")
    return row[by_row], bucket[by_row]


class _Texts:
    """N-grams of a pool's rows, read when they are asked for."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.read = pool, 0
        self.shingles = lru_cache(maxsize=REMEMBERED)(self._shingles)

    def _shingles(self, row: int) -> frozenset[str]:
        self.read += 1
        if self.read % BLOCK == 0:
            self.pool.release()
        return shingles(normalised(self.pool.slice(row, row + 1).text()[0]))


class _Index:
    """Texts by the bands of their sketches."""

    def __init__(self, texts: list[str], names: list[int]) -> None:
        self.names = names
        self.sets = [shingles(text) for text in texts]
        self.held: list[defaultdict[int, list[int]]] = [defaultdict(list) for _ in range(minhash.BANDS)]
        self.bands = minhash.bands(texts)
        for place, row in enumerate(self.bands.tolist()):
            for held, key in zip(self.held, row, strict=True):
                held[key].append(place)

    def near(self, texts: list[str]) -> dict[int, set[int]]:
        """By place in `texts`: the names of those it is near."""
        bands = minhash.bands(texts)
        hit = np.zeros(bands.shape, dtype=bool)
        for band in range(minhash.BANDS):
            hit[:, band] = np.isin(bands[:, band], self.bands[:, band])
        found: dict[int, set[int]] = {}
        for i in np.flatnonzero(hit.any(axis=1)).tolist():
            places = {p for band in np.flatnonzero(hit[i]).tolist() for p in self.held[band][int(bands[i, band])]}
            own = shingles(texts[i])
            like = {self.names[p] for p in places if _jaccard(own, self.sets[p]) >= THRESHOLD}
            if like:
                found[i] = like
        return found


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def _blocks(pool: Pool) -> Iterator[list[str]]:
    for _, part in pool.parts(BLOCK):
        yield list(map(normalised, part.text()))


def _signs(texts: list[str]) -> UInt64[np.ndarray, "b 2"]:
    return np.frombuffer(b"".join(map(_sign, texts)), np.uint64).reshape(-1, 2)


def _sign(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
