"""The strict Pareto set of a results table, and what can be said of every arm that is not on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from thresher.planning.arms import Arm, arms
from thresher.planning.beside import Beside, against_random
from thresher.planning.bootstrap import holm
from thresher.planning.crossings import curve_frontier
from thresher.planning.curves import Fit
from thresher.planning.difference import Difference, difference, minimal_detectable_difference
from thresher.planning.equal import equal_views
from thresher.planning.fits import fit_panel
from thresher.planning.frozen import economy
from thresher.planning.lines import PLAIN
from thresher.planning.payoff import break_even, size_ratios
from thresher.planning.prior import Prior
from thresher.planning.regret import PLANNER, replay, summary
from thresher.planning.results import Panel, Results, higher_is_better
from thresher.planning.worth import Worth, overall, worth

__all__ = [
    "Verdict",
    "frontier",
    "higher_is_better",
    "minimal_detectable_difference",
    "panel_frontier",
    "pareto",
    "verdicts",
]

ON, DOMINATED, UNDECIDED = "on the frontier", "dominated", "undecided"


@dataclass(frozen=True)
class Verdict:
    """What the seeds say of one arm.

    Attributes:
        word: `on the frontier`, `dominated` or `undecided`.
        by: the arm that dominates it, or would if its lead were certain.
        lead: how far that arm is ahead in score; None on the frontier.
    """

    word: str
    by: Arm | None = None
    lead: Difference | None = None


def pareto(cost: Sequence[float], score: Sequence[float], *, higher: bool = True) -> list[int]:
    """Indices of the non-dominated points, cheapest first; ties in both are one point, the first.

    A point is dominated if another costs no more and scores no less, one of them strictly.
    """
    sign = 1.0 if higher else -1.0
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -sign * score[i], i))
    kept: list[int] = []
    for i in order:
        if not kept or sign * score[i] > sign * score[kept[-1]]:
            kept.append(i)
    return kept


def verdicts(found: Sequence[Arm], *, higher: bool, axis: str = "total_flops") -> list[Verdict]:
    """One per arm: off the frontier it is *dominated* only if the seeds exclude a lead of 0."""
    kept = {(found[i].at(axis), found[i].score) for i in _front(found, higher, axis)}
    return [
        Verdict(ON) if (arm.at(axis), arm.score) in kept else _off_frontier(arm, found, higher, axis)
        for arm in found
    ]


def _front(found: Sequence[Arm], higher: bool, axis: str) -> list[int]:
    return pareto([arm.at(axis) for arm in found], [arm.score for arm in found], higher=higher)


def _off_frontier(arm: Arm, found: Sequence[Arm], higher: bool, axis: str) -> Verdict:
    sign = 1.0 if higher else -1.0
    ahead = []
    for other in found:
        rise, dearer = sign * (other.score - arm.score), other.at(axis) > arm.at(axis)
        if not dearer and rise >= 0 and (rise > 0 or other.at(axis) < arm.at(axis)):
            ahead.append((other, difference(other, arm, higher=higher)))
    ahead.sort(key=lambda pair: -pair[1].mean)
    for other, lead in ahead:
        if lead.above or lead.nothing or (not lead.known and other.se is None and arm.se is None):
            return Verdict(DOMINATED, other, lead)
    return Verdict(UNDECIDED, *ahead[0])


def panel_frontier(panel: Panel) -> dict[str, object]:
    """One panel of the `frontier --json` contract."""
    found = arms(panel)
    said = verdicts(found, higher=panel.higher, axis=panel.axis)
    compared = [against_random(arm, found, higher=panel.higher, axis=panel.axis) for arm in found]
    fits = fit_panel(panel, found) if panel.axis == "total_flops" else []
    summary: Worth = worth(panel, found, compared)
    return {
        "task": panel.task,
        "metric": panel.metric,
        "higher_is_better": panel.higher,
        "model": panel.model,
        "pool": panel.pool,
        "protocol": panel.protocol,
        "axis": panel.axis,
        "runs": len(panel.runs),
        "full_flops": panel.full_flops,
        "verdict": {"worth": summary.paid, "method": summary.method, "sentence": summary.sentence},
        "pareto": [_point(found, i) for i in _front(found, panel.higher, panel.axis)],
        "arms": [_arm(*each) for each in zip(found, said, compared, _together(compared), strict=True)],
        "fits": [{**fit.to_dict(), "band": _band(fit)} for fit in fits],
        "curves": curve_frontier(fits, found, higher=panel.higher),
        "break_even": break_even(panel, found),
        "equal": equal_views(panel, found),
        **(_hindsight(panel, found) if panel.axis == "total_flops" else {"regret": [], "race": []}),
    }


def frontier(results: Results) -> dict[str, object]:
    """Every panel: Pareto set, verdicts, fitted curves, break-even, regret; and what is said over all of them."""
    panels = [panel_frontier(panel) for panel in results.panels()]
    return {"verdict": overall(panels), "size_ratios": size_ratios(panels), "panels": panels}


def _band(fit: Fit) -> list[tuple[float, float, float]]:
    """(total FLOPs, low, high) of a chosen curve's 95 % interval; none where it is infinite."""
    ends = [(cost, *fit.predict(cost)) for cost, _ in fit.line()] if fit.chosen else []
    return [(cost, score - half, score + half) for cost, score, half in ends if math.isfinite(half)]


def _hindsight(panel: Panel, found: Sequence[Arm]) -> dict[str, object]:
    """Regret of always taking one method, and of a race, against the best that was seen."""
    methods = list(dict.fromkeys(arm.method for arm in found if not arm.untrained and arm.method != "full"))
    lines = []
    if PLAIN in methods and len(methods) > 1:
        replayed = replay(panel, Prior.of(()), methods)
        lines = [
            {"policy": one.policy.removeprefix("always-"), "points": one.points, "share": one.share}
            for one in summary(replayed) if one.policy != PLANNER
        ]  # fmt: skip
    return {"regret": lines, "race": economy(panel)}


def _point(found: Sequence[Arm], i: int) -> dict[str, object]:
    """A point of the frontier; runs on the whole pool without a selection bill are one run, named `full`."""
    arm = found[i]
    same = [a.method for a in found if (a.total_flops, a.score) == (arm.total_flops, arm.score)]
    method = "full" if arm.full else arm.method
    return {
        "method": method,
        "scorer": arm.scorer,
        "fraction": arm.fraction,
        "rows": arm.rows,
        "total_flops": arm.total_flops,
        "score": arm.score,
        "se": arm.se,
        "also": [name for name in same if name != method],
    }


def _together(compared: Sequence[Beside | None]) -> list[float | None]:
    """The p-values of a panel's leads over random, held together by Holm's rule; None where there is none."""
    known = {i: one.p for i, one in enumerate(compared) if one is not None and one.p is not None}
    found = dict(zip(known, holm(list(known.values())), strict=True))
    return [found.get(i) for i in range(len(compared))]


def _arm(arm: Arm, verdict: Verdict, compared: Beside | None, together: float | None) -> dict[str, object]:
    return {
        "method": arm.method,
        "scorer": arm.scorer,
        "budget": arm.runs[0].budget,
        "fraction": arm.fraction,
        "rows": arm.rows,
        "runs": len(arm.runs),
        "seeds": sorted(arm.by_seed),
        "score": arm.score,
        "se": arm.se,
        "selection_flops": arm.selection_flops,
        "training_flops": arm.training_flops,
        "total_flops": arm.total_flops,
        "verdict": verdict.word,
        "by": None
        if verdict.by is None
        else {"method": verdict.by.method, "fraction": verdict.by.fraction, "rows": verdict.by.rows},
        "lead": None if verdict.lead is None else verdict.lead.to_dict(),
        "against_random": None if compared is None else {**compared.to_dict(), "p_holm": together},
    }
