"""Bounded least squares on the two constants of a curve, for many score vectors at once.

The problem is solved exactly: for a given lambda the best p0 is a clipped mean, so one constant is searched on a grid
that narrows, and no start can miss the optimum.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

UNIT = 1e18


def line_through(
    cost: Float[np.ndarray, " t"], score: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares of each row of score (b, t) on log10 cost: (u, v), each (b,)."""
    x = np.log10(np.where(cost > 0, cost, UNIT) / UNIT)  # (t,)
    w = weight / weight.sum(axis=1, keepdims=True)  # (b, t)
    x_mean, y_mean = w @ x, (w * score).sum(axis=1)
    spread = (w * (x - x_mean[:, None]) ** 2).sum(axis=1)
    tilt = (w * (x - x_mean[:, None]) * (score - y_mean[:, None])).sum(axis=1)
    v = np.divide(tilt, spread, out=np.zeros_like(tilt), where=spread > 1e-12)
    return y_mean - v * x_mean, v


def saturating(
    share: Float[np.ndarray, " t"], score: np.ndarray, weight: np.ndarray, p_bar: float, higher: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(p0, lambda), each (b,): the exact optimum of each row of score (b, t)."""
    gap = score - p_bar  # (b, t)
    low, high = (-p_bar, 0.0) if higher else (0.0, np.inf)
    positive = share[share > 0]
    top = 40 / positive.min()
    grid = np.concatenate([[0.0], np.geomspace(1e-4 / positive.max(), top, 600)])  # (g,)
    lam = np.broadcast_to(grid, (len(score), len(grid)))  # (b, g)
    for _ in range(6):
        decay = np.exp(-lam[:, :, None] * share)  # (b, g, t)
        num = np.einsum("bgt,bt->bg", decay, weight * gap)
        den = np.einsum("bgt,bt->bg", decay**2, weight)
        a = np.clip(num / np.maximum(den, 1e-300), low, high)  # (b, g) p0 - p_bar
        left = gap[:, None, :] - a[:, :, None] * decay
        best = np.einsum("bgt,bt->bg", left**2, weight).argmin(axis=1)  # (b,)
        rows = np.arange(len(score))
        p0, found = p_bar + a[rows, best], lam[rows, best]
        p0 = np.where(a[rows, best] == -p_bar, 0.0, p0) if higher else p0
        left_end, right_end = (
            lam[rows, np.maximum(best - 1, 0)],
            lam[rows, np.minimum(best + 1, lam.shape[1] - 1)],
        )
        lam = left_end[:, None] + (right_end - left_end)[:, None] * np.linspace(0, 1, 41)
    return p0, found
