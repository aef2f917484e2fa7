"""Was choosing worth it? Every arm against random rows for the same total compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thresher.planning.arms import Arm
from thresher.planning.difference import Difference, difference, paired
from thresher.planning.results import Panel

_PLAIN = ("random", "full")  # rows nobody chose; `full` is random at 100 %
_SLACK = 1.02  # two budgets that differ by what one row costs are one budget


@dataclass(frozen=True)
class Worth:
    """The answer of one panel, in a sentence."""

    paid: bool
    method: str
    sentence: str


def against_random(
    arm: Arm, found: Sequence[Arm], *, higher: bool, axis: str = "total_flops"
) -> Difference | None:
    """The arm's lead over random at the arm's own total FLOPs (or rows); None where random was never that cheap.

    Between two sizes random is interpolated in log FLOPs, within each seed; beyond its dearest run
    that run stands, for more compute was at hand than it used.
    """
    plain = sorted((a for a in found if a.method in _PLAIN and not a.untrained), key=lambda a: a.at(axis))
    cost = arm.at(axis)
    if not plain or arm.untrained or arm in plain or cost * _SLACK < plain[0].at(axis):
        return None
    below = max((a for a in plain if a.at(axis) <= cost * _SLACK), key=lambda a: a.at(axis))
    above = next((a for a in plain if a.at(axis) > cost * _SLACK), None)
    if above is None or below.at(axis) * _SLACK >= cost:
        return difference(arm, below, higher=higher)
    share = math.log(cost / below.at(axis)) / math.log(above.at(axis) / below.at(axis))
    sign = 1.0 if higher else -1.0
    within = paired(arm.by_seed, _between(below.by_seed, above.by_seed, share), sign)
    if within is not None:
        return within
    mean = below.score + share * (above.score - below.score)
    return Difference(sign * (arm.score - mean), None, None, 0, "unpaired")


def _between(low: Mapping[int, float], high: Mapping[int, float], share: float) -> dict[int, float]:
    return {seed: low[seed] + share * (high[seed] - low[seed]) for seed in low.keys() & high.keys()}


def worth(panel: Panel, found: Sequence[Arm], compared: Sequence[Difference | None]) -> Worth:
    """One sentence: train not at all, a method that paid, or nothing that did."""
    for nothing in (arm for arm in found if arm.untrained):
        trained = [arm for arm in found if not arm.untrained]
        leads = [difference(arm, nothing, higher=panel.higher) for arm in trained]
        if trained and not any(lead.mean > 0 for lead in leads):
            text = f"Do not train for {panel.task}: no trained model scored above {nothing.method} "
            return Worth(
                False, nothing.method, f"{text}({nothing.score:.4g} {panel.metric}).".replace(" )", ")")
            )
    chosen = [
        (arm, lead) for arm, lead in zip(found, compared, strict=True) if lead and arm.method not in _PLAIN
    ]
    if not chosen:
        return Worth(
            False, "", f"Nothing can be said for {panel.task}: no method has a random run to stand beside."
        )
    certain = [pair for pair in chosen if pair[1].above_among(len(chosen))]
    if certain:
        return _paid(panel, *max(certain, key=lambda pair: pair[1].mean))
    best = max(chosen, key=lambda pair: pair[1].mean)
    return _not_paid(panel, *best, len(chosen))


def overall(panels: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Was it worth it, over all panels of a table, in one sentence."""
    said = [panel["verdict"] for panel in panels]
    paid = [panel for panel in panels if panel["verdict"]["worth"]]
    if len(panels) == 1:
        word = "Yes. " if paid else "" if said[0]["sentence"].startswith("Undecided") else "No. "
        return {"worth": bool(paid), "sentence": f"Was it worth it? {word}{said[0]['sentence']}"}
    idle = [panel for panel in panels if panel["verdict"]["sentence"].startswith("Do not train")]
    rest = f"; on {_shown(idle)} the untrained model was best" if idle else ""
    if all(one["sentence"].startswith("Undecided") for one in said):
        text = "Undecided: without repeated seeds nobody knows how much of any lead is chance."
        return {"worth": False, "sentence": f"Was it worth it? {text}"}
    if not paid:
        rows = all(panel.get("axis", "total_flops") != "total_flops" for panel in panels)
        same = "with as many rows and steps, even with choosing free" if rows else "for its compute"
        text = f"No: on none of {len(panels)} measures did choosing certainly beat random rows {same}{rest}."
        return {"worth": False, "sentence": f"Was it worth it? {text}"}
    methods = ", ".join(dict.fromkeys(panel["verdict"]["method"] for panel in paid))
    many = "on all" if len(paid) == len(panels) else f"on {len(paid)} of"
    text = f"Yes, {many} {len(panels)} measures: {methods} on {_shown(paid)}{rest}."
    return {"worth": True, "sentence": f"Was it worth it? {text}"}


def _shown(panels: Sequence[Mapping[str, Any]]) -> str:
    named = dict.fromkeys(f"{panel['task']} {panel['metric']}".strip() for panel in panels)
    return ", ".join(named)


def _paid(panel: Panel, arm: Arm, lead: Difference) -> Worth:
    said = "worth it" if panel.axis == "total_flops" else "better than random rows"  # what choosing cost is left out
    text = f"{arm.name} was {said} for {panel.task}: {_gain(panel, lead)} than random {_same(panel)}"
    return Worth(True, arm.method, f"{text} ({_size(arm)}; {_interval(lead)}).")


def _not_paid(panel: Panel, arm: Arm, lead: Difference, compared: int) -> Worth:
    size = f"{arm.name} at {_size(arm)}"
    if lead.mean <= 0:
        text = f"Nothing beat random on {panel.task} {_same(panel)}; the best, {size}, was"
        return Worth(
            False,
            "",
            f"{text} {abs(lead.mean):.3g} {'below' if panel.higher else 'above'} it ({_interval(lead)}).",
        )
    if not lead.known:
        text = f"Undecided on {panel.task}: {size} was {_gain(panel, lead)} than random {_same(panel)}"
        return Worth(
            False, "", f"{text}, but without repeated seeds nobody knows how much of that is chance."
        )
    text = f"Nothing certainly beat random on {panel.task} {_same(panel)}; the best, {size}, was"
    seen = f"; {lead.seeds} such seeds can show {lead.detectable:.2g} or more" if lead.detectable else ""
    alone = f"; taken alone it would pass, among {compared} compared it does not" if lead.above else ""
    return Worth(False, "", f"{text} {_gain(panel, lead)} ({_interval(lead)}{seen}{alone}).")


def _same(panel: Panel) -> str:
    """What is equal between an arm and random."""
    if panel.axis == "total_flops":
        return "at the same total compute"
    return "with as many rows and steps (choosing not counted)"


def _gain(panel: Panel, lead: Difference) -> str:
    unit = f" {panel.metric}" if panel.metric else ""
    return f"{abs(lead.mean):.3g}{unit} {'higher' if panel.higher else 'lower'}"


def _interval(lead: Difference) -> str:
    if lead.low is None or lead.high is None:
        return "one run each, no interval"
    over = f"over {lead.seeds} paired seeds" if lead.basis == "paired" else "by standard errors, unpaired"
    return f"95 % interval of the lead {lead.low:+.3g} to {lead.high:+.3g} {over}"


def _size(arm: Arm) -> str:
    if arm.fraction:
        return f"{100 * arm.fraction:.3g} % of the pool"
    return f"{arm.rows} rows"
