"""Was choosing worth it? Every arm against random rows for the same total compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thresher.planning.arms import Arm
from thresher.planning.beside import UNCHOSEN, Beside
from thresher.planning.difference import Difference, difference
from thresher.planning.results import Panel

CHANCE = "without repeated seeds nobody knows how much of that is chance"


@dataclass(frozen=True)
class Worth:
    """The answer of one panel, in a sentence."""

    paid: bool
    method: str
    sentence: str


def worth(panel: Panel, found: Sequence[Arm], compared: Sequence[Beside | None]) -> Worth:
    """One sentence: train not at all, a method that paid, or nothing that did; and where random was not run as far."""
    for nothing in (arm for arm in found if arm.untrained):
        trained = [arm for arm in found if not arm.untrained]
        leads = [difference(arm, nothing, higher=panel.higher) for arm in trained]
        if trained and not any(lead.mean > 0 for lead in leads):
            text = f"Do not train for {panel.task}: no trained model scored above {nothing.method} "
            return Worth(
                False, nothing.method, f"{text}({nothing.score:.4g} {panel.metric}).".replace(" )", ")")
            )
    beside = [(arm, one) for arm, one in zip(found, compared, strict=True) if one and arm.method not in UNCHOSEN]
    if not beside:
        return Worth(
            False, "", f"Nothing can be said for {panel.task}: no method has a random run to stand beside."
        )
    chosen = [(arm, one.lead) for arm, one in beside if one.share is None]
    beyond = [(arm, one) for arm, one in beside if one.share is not None]
    said = _of_those_beside(panel, chosen) if chosen else Worth(False, "", "")
    if not beyond:
        return said
    further = _further(panel, beyond)
    if said.paid or (chosen and all(one.lead.mean <= 0 for _, one in beyond)):
        return replace(said, sentence=f"{said.sentence} {further}")
    undecided = f"Undecided on {panel.task}: {further[0].lower()}{further[1:]}"
    return Worth(False, "", f"{undecided} {said.sentence}".strip())


def _of_those_beside(panel: Panel, chosen: Sequence[tuple[Arm, Difference]]) -> Worth:
    certain = [pair for pair in chosen if pair[1].above_among(len(chosen))]
    if certain:
        return _paid(panel, *max(certain, key=lambda pair: pair[1].mean))
    best = max(chosen, key=lambda pair: pair[1].mean)
    return _not_paid(panel, *best, len(chosen))


def _further(panel: Panel, beyond: Sequence[tuple[Arm, Beside]]) -> str:
    """What cannot be said of arms that spent more than the dearest random run did."""
    arm, one = max(beyond, key=lambda pair: pair[1].lead.mean)
    spent = "spent" if panel.axis == "total_flops" else "trained on"
    what = "compute" if panel.axis == "total_flops" else "rows"
    lead = f"{_gain(panel, one.lead)} than its last run" if one.lead.mean > 0 else "no better than its last run"
    many = f"{len(beyond)} arms {spent} more {what} than any random run" if len(beyond) > 1 else (
        f"One arm {spent} more {what} than any random run"
    )
    assert one.share is not None, "it is beyond"
    return (
        f"{many}, so nobody knows what random rows give for that; the best of them, {arm.name} at {_size(arm)}, was "
        f"{lead} for {1 / one.share:.3g} times its {what}."
    )


def overall(panels: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Was it worth it, over all panels of a table, in one sentence."""
    said = [panel["verdict"] for panel in panels]
    paid = [panel for panel in panels if panel["verdict"]["worth"]]
    if len(panels) == 1:
        word = "Yes. " if paid else "" if said[0]["sentence"].startswith("Undecided") else "No. "
        return {"worth": bool(paid), "sentence": f"Was it worth it? {word}{said[0]['sentence']}"}
    idle = [panel for panel in panels if panel["verdict"]["sentence"].startswith("Do not train")]
    rest = f"; on {_shown(idle)} the untrained model was best" if idle else ""
    if not paid:
        rows = all(panel.get("axis", "total_flops") != "total_flops" for panel in panels)
        same = "with as many rows and steps, even with choosing free" if rows else "for its compute"
        text = _none_paid(panels, len(idle), same)
        return {"worth": False, "sentence": f"Was it worth it? {text}{rest}."}
    methods = ", ".join(dict.fromkeys(panel["verdict"]["method"] for panel in paid))
    many = "on all" if len(paid) == len(panels) else f"on {len(paid)} of"
    text = f"Yes, {many} {len(panels)} measures: {methods} on {_shown(paid)}{rest}."
    return {"worth": True, "sentence": f"Was it worth it? {text}"}


def _none_paid(panels: Sequence[Mapping[str, Any]], idle: int, same: str) -> str:
    undecided = [panel for panel in panels if panel["verdict"]["sentence"].startswith("Undecided")]
    if not undecided:
        return f"No: on none of {len(panels)} measures did choosing certainly beat random rows {same}"
    said = " ".join(panel["verdict"]["sentence"] for panel in undecided)
    why = ["arms spent more than any random run"] if "than any random run" in said else []
    why += ["without repeated seeds nobody knows how much of a lead is chance"] if CHANCE in said else []
    others = len(panels) - len(undecided) - idle
    where = f"on all {len(panels)} measures" if len(undecided) == len(panels) else f"on {_shown(undecided)}"
    no = f"; on the other {others} choosing did not certainly beat random rows {same}" if others else ""
    return f"Undecided {where}: {', and '.join(why)}{no}"


def _shown(panels: Sequence[Mapping[str, Any]]) -> str:
    named = dict.fromkeys(f"{panel['task']} {panel['metric']}".strip() for panel in panels)
    return ", ".join(named)


def _paid(panel: Panel, arm: Arm, lead: Difference) -> Worth:
    said = "worth it" if panel.axis == "total_flops" else "better than random rows"  # what choosing cost is left out
    text = f"{arm.name} was {said} for {panel.task}: {_gain(panel, lead)} than random {_same(panel)}"
    return Worth(True, arm.method, f"{text} ({_size(arm)}; {_interval(lead)}).{_of_rows(arm, lead)}")


def _of_rows(arm: Arm, lead: Difference) -> str:
    """What to add where a lead that seeds agree on is within one standard error over test rows."""
    errors = [run.score_se for run in arm.runs if run.score_se is not None]
    error = sum(errors) / len(errors) if errors else 0.0
    if lead.mean >= error:
        return ""
    return (
        f" That counts seeds, not test rows: one standard error of its score over rows is {error:.2g}, more than the "
        "lead. `thresher compare` of the run counts both."
    )


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
        return Worth(False, "", f"{text}, but {CHANCE}.")
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
