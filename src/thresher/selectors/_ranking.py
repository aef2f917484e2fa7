"""Exact rankings with ties in pool order, and the longest prefix of an order that a budget pays for."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from thresher.core.method import Subset


def ranked(score: Float[np.ndarray, " n"], *, highest: bool) -> Int[np.ndarray, " n"]:
    """All rows from best to worst."""
    return np.argsort(-score if highest else score, kind="stable")


def best(score: Float[np.ndarray, " n"], m: int) -> Int[np.ndarray, " m"]:
    """The m highest rows, best first: a prefix of `ranked`, without sorting the rest."""
    if m >= len(score):
        return ranked(score, highest=True)
    bar = np.partition(score, len(score) - m)[len(score) - m]  # the m-th highest value
    above, level = np.flatnonzero(score > bar), np.flatnonzero(score == bar)
    rows = np.concatenate([above, level[: m - len(above)]])
    return rows[np.argsort(-score[rows], kind="stable")]


def longest_prefix(
    order: Int[np.ndarray, " m"],
    gain: Float[np.ndarray, " n"],
    *,
    price: Float[np.ndarray, " n"],
    budget: float,
    column: Int[np.ndarray, " n"] | None = None,
) -> Subset:
    """As much of an order as the budget pays for; it stops at the first row that does not fit.

    Stopping, instead of skipping on, leaves a few tokens unspent and makes a smaller budget a prefix.
    `gain` and `column` are by pool row.
    """
    k = affordable(order, price=price, budget=budget)
    rows = order[:k]
    return Subset(rows, gain[rows].astype(np.float64), column=None if column is None else column[rows])


def affordable(order: Int[np.ndarray, " m"], *, price: Float[np.ndarray, " n"], budget: float) -> int:
    """How many rows of an order fit."""
    spent = np.cumsum(price[order], dtype=np.float64)
    return int(np.searchsorted(spent, budget * (1 + 1e-12), side="right"))


def most_rows(price: Float[np.ndarray, " n"], budget: float) -> int:
    """No selector can choose more rows than this."""
    return affordable(np.argsort(price, kind="stable"), price=price, budget=budget)
