"""Rows in length order under a token budget: nearly nothing is spent on padding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int


def batches(lengths: Int[np.ndarray, " n"], token_budget: int) -> Iterator[Int[np.ndarray, " b"]]:
    """Rows of each batch, longest first, ties by row number: rows times their longest stay within the budget.

    A row longer than the budget is a batch of its own. Longest first, so that what does not fit into memory
    fails at once and not after an hour.
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, token_budget // max(1, int(lengths[order[start]])))
        yield order[start : start + rows]
        start += rows


def padded(
    ids: Int[np.ndarray, " D"], starts: Int[np.ndarray, " edges"], rows: Int[np.ndarray, " b"], fill: int
) -> Int[np.ndarray, "b s"]:
    """Rows as one array, filled up on the right."""
    longest = int((starts[rows + 1] - starts[rows]).max())
    filled = np.full((len(rows), longest), fill, np.int64)
    for at, row in enumerate(rows):
        filled[at, : starts[row + 1] - starts[row]] = ids[starts[row] : starts[row + 1]]
    return filled
