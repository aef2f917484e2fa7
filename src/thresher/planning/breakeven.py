"""When does an expensive choice pay: shared over how many runs, at which size ratio, from which budget on?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from thresher.planning.arms import Arm
from thresher.planning.results import Panel

Number = int | float
_CHEAP = 0.01  # a selection bill under 1 % of the training is no bill: random, lexical methods


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


def break_even(panel: Panel, found: Sequence[Arm]) -> list[dict[str, object]]:
    """For every arm that paid for choosing: the runs that must share it, and the size ratio it needs.

    `runs` is null for never; 0 means that no cheap run of the table, the largest included, scores as much.
    """
    full = panel.full_flops
    cheap = [arm for arm in found if not arm.untrained and arm.selection_flops <= _CHEAP * arm.training_flops]
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for arm in sorted(cheap, key=lambda arm: arm.training_flops):
        if full is not None and arm.fraction:
            lines.setdefault((arm.method, arm.scorer), []).append((arm.training_flops / full, arm.score))
    paid = [arm for arm in found if arm.selection_flops > _CHEAP * arm.training_flops and not arm.untrained]
    return [
        _entry(arm, full, list(lines.values()), panel.higher) for arm in paid if full is not None and lines
    ]


def _entry(arm: Arm, full: float, lines: list[list[tuple[float, float]]], higher: bool) -> dict[str, object]:
    at = arm.training_flops / full
    reach = cheap_fraction(arm.score, lines, higher=higher)
    runs = 0.0 if reach is None else runs_to_pay(arm.selection_flops, arm.training_flops, reach * full)
    sizes: Mapping[str, float | None] = {
        "model": arm.runs[0].model_params,
        "scorer": arm.runs[0].scorer_params,
    }
    ratio = needed = None
    if sizes["model"] and sizes["scorer"]:
        ratio = sizes["model"] / sizes["scorer"]
        needed = size_ratio(arm.selection_flops / full * ratio, at, reach)
    return {
        "method": arm.method, "scorer": arm.scorer, "fraction": arm.fraction, "rows": arm.rows, "runs": runs,
        "cheap_fraction": reach, "size_ratio": ratio, "size_ratio_needed": needed,
    }  # fmt: skip
