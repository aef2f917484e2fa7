"""Each row's nearest rows by cosine, searched exactly, a block at a time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

HELD = 1 << 24  # cosines held at once


def nearest_rows(
    unit: Float[np.ndarray, "n d"], m: int
) -> tuple[Int[np.ndarray, "n m"], Float[np.ndarray, "n m"]]:
    """The m nearest rows of each, itself among them, and max(0, cosine); nearest first, ties in pool order."""
    n = len(unit)
    near, cosine = np.empty((n, m), dtype=np.int32), np.empty((n, m), dtype=unit.dtype)
    step = max(1, min(1024, HELD // n))
    for start in range(0, n, step):
        block = unit[start : start + step] @ unit.T  # (b, d) @ (d, n) -> (b, n)
        np.maximum(block, 0.0, out=block)
        row, column = np.nonzero(block >= _bar(block, m)[:, None])
        value = block[row, column]
        order = np.lexsort((column, -value, row))
        row = row[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)  # place within its row
        take = order[rank < m]
        near[start : start + step] = column[take].reshape(-1, m)
        cosine[start : start + step] = value[take].reshape(-1, m)
    return near, cosine


def _bar(block: Float[np.ndarray, "b n"], m: int) -> Float[np.ndarray, " b"]:
    """A value that at least m of a row's reach, and few more: the m-th largest of maxima over stretches of the row."""
    stretches = 16 * m
    n = block.shape[1]
    if n < 2 * stretches:
        return np.partition(block, n - m, axis=1)[:, n - m]
    whole = n // stretches * stretches
    top = block[:, :whole].reshape(len(block), stretches, -1).max(axis=2)  # (b, stretches)
    return np.partition(top, stretches - m, axis=1)[:, stretches - m]
