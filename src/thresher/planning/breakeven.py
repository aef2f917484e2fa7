"""When does an expensive choice pay: shared over how many runs, at which size ratio, from which budget on?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Number = int | float


def runs_to_pay(selection_flops: Number, training_flops: Number, reference_flops: Number) -> float | None:
    """m* = S / (C_ref - C_T): how many runs must share one selection; None is never.

    C_ref (`reference_flops`) is what the best cheap method spends to reach the same score.
    """
    saved = reference_flops - training_flops
    return selection_flops / saved if saved > 0 else None


def shared_total(selection_flops: Number, training_flops: Number, runs: int) -> float:
    """FLOPs per run where `runs` runs share one selection: C_T + S / m."""
    return training_flops + selection_flops / runs


def cheap_fraction(
    score: Number, lines: Sequence[Sequence[tuple[Number, Number]]], *, higher: bool = True
) -> float | None:
    """The smallest pool fraction at which a cheap method scores as much; None if none does.

    Each line is (fraction, score) by rising fraction: linear in log fraction on the first segment that
    brackets the score; its first fraction if already reached there.
    """
    reached = [
        f for f in (_first_reach(score, line, 1.0 if higher else -1.0) for line in lines) if f is not None
    ]
    return min(reached, default=None)


def _first_reach(score: Number, line: Sequence[tuple[float, float]], sign: Number) -> float | None:
    if not line:
        return None
    if sign * line[0][1] >= sign * score:
        return line[0][0]
    for (f0, s0), (f1, s1) in zip(line, line[1:], strict=False):
        if sign * s0 < sign * score <= sign * s1:
            return f0 * (f1 / f0) ** ((score - s0) / (s1 - s0))
    return None


def size_ratio(share: Number, f_expensive: Number, f_cheap: Number | None, runs: int = 1) -> float | None:
    """Target-to-scorer ratio above which the expensive method wins; None is never.

        r > a / (m (f_cheap - f_expensive))

    The share a is the selection bill over a full-pool run at ratio 1: 1/3 for perplexity, 1 for one gradient
    pass, 1.8 for LESS as billed.
    """
    if f_cheap is None:
        return 0.0  # no amount of cheap rows gets there: it wins at every ratio
    saved = f_cheap - f_expensive
    return share / (runs * saved) if saved > 0 else None


def crossing(decay_1: Number, selection_1: Number, decay_2: Number, selection_2: Number) -> float | None:
    """C* at which two shifted curves of equal p0 and p_bar meet; None if not beyond both selections."""
    if decay_1 == decay_2:
        return None
    meet = (decay_2 * selection_2 - decay_1 * selection_1) / (decay_2 - decay_1)
    return meet if meet >= max(selection_1, selection_2) else None


def gain_left(decay: Number, selection_flops: Number, full_flops: Number, total_flops: Number) -> float:
    """The share of p_bar - p0 a shifted curve still has to gain at a total cost."""
    return math.exp(-decay * max(total_flops - selection_flops, 0.0) / full_flops)


def simulate(
    decay: Number, selection_flops: Number, full_flops: Number, total_flops: np.ndarray
) -> np.ndarray:
    """100 (1 - exp(-lambda (C - S) / C_T(n))); NaN below the selection bill."""
    spent = np.asarray(total_flops, dtype=np.float64) - selection_flops
    return np.where(spent >= 0, -100 * np.expm1(-decay * np.maximum(spent, 0) / full_flops), np.nan)
