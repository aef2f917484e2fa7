"""The same methods ranked twice: at equal rows, and at equal compute, choosing included. That is where ranks flip."""

from __future__ import annotations

import math
from collections.abc import Sequence

from thresher.planning.arms import Arm
from thresher.planning.results import Panel

_SLACK = 1.02  # two budgets that differ by what one row costs are one budget


def equal_views(panel: Panel, found: Sequence[Arm]) -> list[dict[str, object]]:
    """For every size that several methods have: their order at that size, and for what its dearest method spent.

    Between two sizes of a method its score is interpolated in log FLOPs; beyond its dearest run that run stands.
    """
    trained = [arm for arm in found if not arm.untrained]
    sizes: dict[str, list[Arm]] = {}
    for arm in (arm for arm in trained if (arm.fraction or 0.0) < 1 and arm.method != "full"):
        sizes.setdefault(size_of(arm), []).append(arm)
    several = {size: arms for size, arms in sizes.items() if len({arm.name for arm in arms}) > 1}
    return [_view(panel, size, arms, trained) for size, arms in several.items()]


def size_of(arm: Arm) -> str:
    """The budget as it was asked for, else the share of the pool, else rows."""
    if arm.runs[0].budget:
        return arm.runs[0].budget
    return f"{100 * arm.fraction:.3g} %" if arm.fraction else f"{arm.rows} rows"


def at_compute(line: Sequence[Arm], total_flops: float) -> float | None:
    """The score of one method for some compute; None below its cheapest run."""
    line = sorted(line, key=lambda arm: arm.total_flops)
    within = [arm for arm in line if arm.total_flops <= total_flops * _SLACK]
    if not within:
        return None
    below, above = within[-1], next((arm for arm in line if arm.total_flops > total_flops * _SLACK), None)
    if above is None or below.total_flops * _SLACK >= total_flops:
        return below.score
    share = math.log(total_flops / below.total_flops) / math.log(above.total_flops / below.total_flops)
    return below.score + share * (above.score - below.score)


def _view(panel: Panel, size: str, arms: Sequence[Arm], trained: Sequence[Arm]) -> dict[str, object]:
    sign = 1.0 if panel.higher else -1.0
    compute = max(arm.total_flops for arm in arms)
    second = {arm.name: at_compute(_line(arm, trained), compute) for arm in arms}
    rows_rank = _ranks({arm.name: sign * arm.score for arm in arms})
    compute_rank = _ranks({name: sign * score for name, score in second.items() if score is not None})
    ordered = sorted(arms, key=lambda arm: rows_rank[arm.name])
    flips = [
        [first.name, other.name]
        for place, first in enumerate(ordered)
        for other in ordered[place + 1 :]
        if rows_rank[first.name] < rows_rank[other.name] and compute_rank[first.name] > compute_rank[other.name]
    ]
    return {
        "size": size,
        "compute": compute,
        "lines": [
            {
                "method": arm.method, "scorer": arm.scorer, "total_flops": arm.total_flops, "score": arm.score,
                "rank": rows_rank[arm.name], "score_at_compute": second[arm.name],
                "rank_at_compute": compute_rank[arm.name],
            }
            for arm in ordered
        ],
        "flips": flips,
    }  # fmt: skip


def _line(arm: Arm, trained: Sequence[Arm]) -> list[Arm]:
    """The arms of one method; random rows end in the whole pool."""
    return [one for one in trained if one.name == arm.name or (arm.method == "random" and one.method == "full")]


def _ranks(scores: dict[str, float]) -> dict[str, int]:
    """1 is best; equal scores share a rank."""
    return {name: 1 + sum(other > score for other in scores.values()) for name, score in scores.items()}
