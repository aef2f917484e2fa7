"""Three ways to hold the cosines that facility location sums: all of them, the nearest only, none."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.selectors._lazy_greedy import Coverage
from thresher.selectors._neighbours import nearest_rows

BLOCK = 512
HELD = 1 << 18  # recomputed cosines at once: they stay in the processor's cache


class Dense(Coverage):
    """Every cosine in memory; a gain is one pass over a row."""

    batch: ClassVar[int] = 16

    def __init__(self, unit: Float[np.ndarray, "n d"]) -> None:
        n = len(unit)
        self.near = np.empty((n, n), dtype=unit.dtype)
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            block = unit[start:stop] @ unit[start:].T  # (b, d) @ (d, m) -> (b, m), what is not known by symmetry
            np.maximum(block, 0.0, out=block)
            self.near[start:stop, start:] = block
            for below in range(stop, n, BLOCK):  # square pieces are transposed within the processor's cache
                piece = block[:, below - start : below - start + BLOCK]
                self.near[below : below + BLOCK, start:stop] = piece.T
        self.best = np.zeros(n, dtype=unit.dtype)  # (n,) cosine of each row to its nearest choice
        self.rise = np.empty_like(self.best)

    def bounds(self) -> Float[np.ndarray, " n"]:
        """Row sums."""
        return self.near.sum(axis=1).astype(np.float64)

    def gains(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
        """Sums of what each row would lift."""
        gain = np.empty(len(rows))
        for at, row in enumerate(rows):
            np.maximum(self.near[row], self.best, out=self.rise)
            np.subtract(self.rise, self.best, out=self.rise)
            gain[at] = np.add.reduce(self.rise)
        return gain

    def add(self, row: int) -> None:
        """Lift."""
        np.maximum(self.best, self.near[row], out=self.best)


class Recomputed(Coverage):
    """No cosine in memory beyond a block of them; a gain is n d multiplications, in batches because that is faster."""

    batch: ClassVar[int] = 64

    def __init__(self, unit: Float[np.ndarray, "n d"]) -> None:
        self.unit = unit
        self.best = np.zeros(len(unit), dtype=unit.dtype)

    def bounds(self) -> Float[np.ndarray, " n"]:
        """Gains over the empty set."""
        rows = np.arange(len(self.unit))
        return np.concatenate([self.gains(rows[at : at + BLOCK]) for at in range(0, len(rows), BLOCK)])

    def gains(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
        """Sums of what each row would lift."""
        asked = self.unit[rows]  # (b, d)
        gain = np.zeros(len(rows))
        step = max(256, HELD // len(rows))
        for start in range(0, len(self.unit), step):
            part = slice(start, start + step)
            rise = asked @ self.unit[part].T  # (b, d) @ (d, m) -> (b, m)
            np.maximum(rise, self.best[part], out=rise)
            rise -= self.best[part]
            gain += rise.sum(axis=1)
        return gain

    def add(self, row: int) -> None:
        """Lift."""
        np.maximum(self.best, self.unit @ self.unit[row], out=self.best)


class Nearest(Coverage):
    """Each row's nearest rows only; a gain is a pass over the rows that have it among them."""

    batch: ClassVar[int] = 16

    def __init__(self, unit: Float[np.ndarray, "n d"], neighbours: int) -> None:
        n = len(unit)
        near, cosine = nearest_rows(unit, min(neighbours, n))
        order = np.argsort(near, axis=None, kind="stable")
        self.row = (order // near.shape[1]).astype(np.int32)  # rows that have column j near, one j after another
        self.cosine = cosine.ravel()[order]
        self.start = np.concatenate([[0], np.cumsum(np.bincount(near.ravel(), minlength=n))])
        self.best = np.zeros(n, dtype=unit.dtype)

    def bounds(self) -> Float[np.ndarray, " n"]:
        """Column sums."""
        column = np.repeat(np.arange(len(self.best)), np.diff(self.start))
        return np.bincount(column, weights=self.cosine, minlength=len(self.best)) * (1 + 1e-6)

    def gains(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
        """Sums of what each row would lift."""
        gain = np.empty(len(rows))
        for at, row in enumerate(rows):
            part = slice(self.start[row], self.start[row + 1])
            gain[at] = np.maximum(self.cosine[part] - self.best[self.row[part]], 0.0).sum()
        return gain

    def add(self, row: int) -> None:
        """Lift."""
        part = slice(self.start[row], self.start[row + 1])
        touched = self.row[part]
        self.best[touched] = np.maximum(self.best[touched], self.cosine[part])
