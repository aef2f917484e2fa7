"""A plan beside the run that came after it: was what it recommended the best that its budget could have bought?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Of = Mapping[str, Any]
_SLACK = 1.02  # two budgets that differ by what one row costs are one budget


def verdicts(plan: Of, frontier: Of) -> list[dict[str, Any]]:
    """One verdict a panel that is compared at total compute; arms are those of `frontier --json`."""
    return [verdict(plan, panel) for panel in frontier["panels"] if panel["axis"] == "total_flops"]


def verdict(plan: Of, panel: Of) -> dict[str, Any]:
    """What the run says of the plan, by one metric.

    The plan may spend its budget less its pilot; what it is held against may spend all of it. The run's arm that
    stands for the recommendation is the one of its method whose number of rows is nearest.

    Returns:
        `taken` and `best` (arms, or null), `regret` in the metric's points (null where the run did not try what was
        recommended), `random` the regret of random rows, and `sentence`.
    """
    said, budget = plan["recommendation"], plan["budget"]["amount"]
    sign = 1.0 if panel["higher_is_better"] else -1.0
    within = [arm for arm in panel["arms"] if arm["total_flops"] <= budget * _SLACK]
    best = max(within, key=lambda arm: sign * arm["score"], default=None)
    taken = _tried(said, within)
    plain = [arm for arm in within if arm["method"] == "random"]
    random = max(plain, key=lambda arm: arm["training_flops"], default=None)
    found: dict[str, Any] = {
        "task": panel["task"], "metric": panel["metric"], "taken": _short(taken), "best": _short(best),
        "regret": None if taken is None or best is None else sign * (best["score"] - taken["score"]),
        "random": None if random is None or best is None else sign * (best["score"] - random["score"]),
    }  # fmt: skip
    return {**found, "sentence": _sentence(plan, panel, found)}


def _tried(said: Of, within: Sequence[Of]) -> Of | None:
    """The arm of the recommended method (and scorer, where it was tried) that is nearest in rows."""
    method = "full" if said["answer"] == "train on all" else said["method"]
    mine = [arm for arm in within if arm["method"] == method]
    mine = [arm for arm in mine if said.get("scorer") and arm["scorer"] == said["scorer"]] or mine
    return min(mine, key=lambda arm: abs(math.log(max(arm["rows"] or 1, 1) / max(said["rows"], 1))), default=None)


def _short(arm: Of | None) -> dict[str, Any] | None:
    keys = ("method", "scorer", "budget", "rows", "fraction", "score", "total_flops")
    return None if arm is None else {key: arm[key] for key in keys}


def _sentence(plan: Of, panel: Of, found: Of) -> str:
    said = plan["recommendation"]
    before = "do not train" if said["answer"] == "do not train" else f"{said['answer']} on {said['rows']:,} rows"
    start = f"Before the run the plan said: {before}. By {panel['metric'] or 'score'} of {panel['task']}"
    taken, best, budget = found["taken"], found["best"], f"{plan['budget']['amount']:.3g} FLOPs"
    if best is None:
        return f"{start} nothing can be said: no run cost {budget} or less."
    if taken is None:
        return f"{start} nothing can be said: the run did not try that within {budget}."
    if found["regret"] <= 0:
        return f"{start} it was right: {_named(taken)} scored {taken['score']:.4g}, the best within {budget}."
    text = (
        f"{start} {_named(best)} was the best within {budget} with {best['score']:.4g}; {_named(taken)}, nearest to "
        f"the plan, scored {taken['score']:.4g}, {found['regret']:.3g} worse"
    )
    beside = found["random"]
    return f"{text}." if beside is None else f"{text} (random rows: {beside:.3g} worse)."


def _named(arm: Of) -> str:
    return f"{arm['method']} on {arm['rows']:,} rows" if arm["rows"] else str(arm["method"])
