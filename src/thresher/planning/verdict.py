"""A plan beside the run that came after it: was it right, how near was what it expected, and was it worth its pilot?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy.special import stdtrit

from thresher.planning.spoken import sentence, worth

Of = Mapping[str, Any]
_NORMAL = 1.96
_SLACK = 1.02  # two budgets that differ by what one row costs are one budget


def verdicts(plan: Of, frontier: Of) -> list[dict[str, Any]]:
    """One verdict a panel that is compared at total compute; arms are those of `frontier --json`."""
    return [verdict(plan, panel) for panel in frontier["panels"] if panel["axis"] == "total_flops"]


def verdict(plan: Of, panel: Of) -> dict[str, Any]:
    """What the run says of the plan, by one metric.

    The plan may spend its budget less its pilot; what it is held against may spend all of it. The run's arm that
    stands for the recommendation is the one of its method whose training compute is nearest: a plan counts in rows of
    mean length, and a method may choose short ones.

    Returns:
        `taken` and `best` (arms, or null), `regret` in the metric's points (null where the run did not try what was
        recommended), `random` the regret of random rows, `gain` of the recommended over random rows for all of the
        budget with half its 95 % interval `gain_half`, `expected` of each method that the run tried (null where the
        plan spoke of another metric), `worth`, and `sentence`.
    """
    said, budget = plan["recommendation"], plan["budget"]["amount"]
    sign = 1.0 if panel["higher_is_better"] else -1.0
    within = [arm for arm in panel["arms"] if arm["total_flops"] <= budget * _SLACK]
    best = max(within, key=lambda arm: sign * arm["score"], default=None)
    taken = _tried(said, within)
    plain = [arm for arm in within if arm["method"] == "random"]
    random = max(plain, key=lambda arm: arm["training_flops"], default=None)
    known = taken is not None and random is not None
    found: dict[str, Any] = {
        "task": panel["task"], "metric": panel["metric"], "taken": _short(taken), "best": _short(best),
        "regret": None if taken is None or best is None else sign * (best["score"] - taken["score"]),
        "random": None if random is None or best is None else sign * (best["score"] - random["score"]),
        "gain": sign * (taken["score"] - random["score"]) if known else None,
        "gain_half": _half(taken, random) if known else None,
        "expected": _expected(plan, panel, within),
    }  # fmt: skip
    found["worth"] = worth(plan, found)
    return {**found, "sentence": sentence(plan, panel, found)}


def _tried(said: Of, within: Sequence[Of]) -> Of | None:
    """The arm of the recommended method (and scorer, where it was tried) that is nearest in training compute."""
    method = "full" if said["answer"] == "train on all" else said["method"]
    mine = [arm for arm in within if arm["method"] == method]
    mine = [arm for arm in mine if said.get("scorer") and arm["scorer"] == said["scorer"]] or mine
    return min(mine, key=lambda arm: _apart(arm, said), default=None)


def _apart(one: Of, other: Of) -> float:
    """How far two sizes are apart, in logarithms of training FLOPs."""
    return abs(math.log(max(one["training_flops"], 1.0) / max(other["training_flops"], 1.0)))


def _half(first: Of, second: Of) -> float | None:
    """Half the 95 % interval of a difference of two arms; by Student's t where the errors come from a few seeds."""
    if first.get("se") is None or second.get("se") is None:
        return None
    free = first.get("runs", 1) + second.get("runs", 1) - 2
    return float(stdtrit(free, 0.975) if free else _NORMAL) * math.hypot(first["se"], second["se"])


def _expected(plan: Of, panel: Of, within: Sequence[Of]) -> list[dict[str, Any]] | None:
    """Each trained arm beside the candidate of its method that is nearest in training compute; null if units differ.

    `inside`: whether what was reached lies in the 95 % interval that was expected.
    """
    if plan.get("score_unit") != panel["metric"]:
        return None
    found = []
    for arm in within:
        same = [
            one for one in plan["candidates"]
            if one["method"] == arm["method"] and (not one["scorer"] or one["scorer"] == arm["scorer"])
        ]  # fmt: skip
        near = min(same, key=lambda one: _apart(one, arm), default=None)
        if near is not None and arm["total_flops"] > 0:
            found.append({
                **_short(arm), "se": arm.get("se"), "expected_rows": near["rows"], "expected": near["score"],
                "low": near["low"], "high": near["high"], "inside": near["low"] <= arm["score"] <= near["high"],
            })  # fmt: skip
    return found


def _short(arm: Of | None) -> dict[str, Any] | None:
    keys = ("method", "scorer", "budget", "rows", "fraction", "score", "training_flops", "total_flops")
    return None if arm is None else {key: arm[key] for key in keys}
