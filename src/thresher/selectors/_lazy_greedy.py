"""Greedy maximisation of a submodular function, re-evaluating only what can still be the best."""

from __future__ import annotations

from abc import ABC, abstractmethod
from heapq import heapify, heappop, heappush
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int


class Coverage(ABC):
    """A function of sets that the greedy adds one row after another to."""

    batch: ClassVar[int] = 1  # rows whose gains are best asked for together
    best: Float[np.ndarray, " n"]  # what the set has reached, in the precision gains are computed in

    @abstractmethod
    def bounds(self) -> Float[np.ndarray, " n"]:
        """Gains over the empty set, or more."""

    @abstractmethod
    def gains(self, rows: Int[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
        """What each would add now."""

    @abstractmethod
    def add(self, row: int) -> None:
        """Put a row into the set."""


def lazy_greedy(
    coverage: Coverage, *, price: Float[np.ndarray, " n"], budget: float
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Rows in the order of plain greedy, ties in pool order, until one does not fit; and their gains.

    An old gain bounds the new one, because gains only fall. Rows wait in a heap by their bound; stale ones at its
    top are evaluated, a batch at a time, until the top is not stale. Gains are rounded to fewer digits than they are
    computed with, so that a tie (two rows nearest to each other tie exactly) is one in spite of rounding errors.
    """
    bits = 40 if coverage.best.dtype == np.float64 else 20
    heap = [(-bound, row) for row, bound in enumerate(rounded(coverage.bounds(), bits).tolist())]
    heapify(heap)
    seen = [-1] * len(price)  # size of the set when the bound was computed
    index: list[int] = []
    gain: list[float] = []
    spent, limit = 0.0, budget * (1 + 1e-12)
    while heap:
        stale: list[tuple[float, int]] = []
        while heap and len(stale) < coverage.batch and seen[heap[0][1]] != len(index):
            stale.append(heappop(heap))
        if stale:
            gains = rounded(coverage.gains(np.array([row for _, row in stale])), bits).tolist()
            for (bound, row), now in zip(stale, gains, strict=True):
                seen[row] = len(index)
                heappush(heap, (max(bound, -now), row))  # rounding must not lift a gain above its bound
            continue
        bound, row = heappop(heap)
        spent += price[row]
        if spent > limit:
            break
        coverage.add(row)
        index.append(row)
        gain.append(-bound)
    return np.array(index, dtype=np.int64), np.array(gain, dtype=np.float64)


def rounded(gain: Float[np.ndarray, " b"], bits: int) -> Float[np.ndarray, " b"]:
    """To so many binary digits."""
    mantissa, exponent = np.frexp(gain)
    return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
