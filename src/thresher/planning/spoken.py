"""A run's verdict on its plan, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Of = Mapping[str, Any]


def sentence(plan: Of, panel: Of, found: Of) -> str:
    """What was said before, what came of it, how near the expectation was, and whether the pilot was worth it."""
    said = plan["recommendation"]
    before = "do not train" if said["answer"] == "do not train" else f"{said['answer']} on {said['rows']:,} rows"
    start = f"Before the run the plan said: {before}. By {panel['metric'] or 'score'} of {panel['task']}"
    taken, best, budget = found["taken"], found["best"], f"{plan['budget']['amount']:.3g} FLOPs"
    if best is None:
        return f"{start} nothing can be said: no run cost {budget} or less."
    if taken is None:
        return f"{start} nothing can be said: the run did not try that within {budget}."
    rest = "".join(f" {text}" for text in (_nearness(found), _worth_it(plan, found)) if text)
    if found["regret"] <= 0:
        return f"{start} it was right: {_named(taken)} scored {taken['score']:.4g}, the best within {budget}.{rest}"
    text = (
        f"{start} {_named(best)} was the best within {budget} with {best['score']:.4g}; {_named(taken)}, nearest to "
        f"the plan, scored {taken['score']:.4g}, {found['regret']:.3g} worse"
    )
    beside = found["random"]
    return f"{text}{'' if beside is None else f' (random rows: {beside:.3g} worse)'}.{rest}"


def worth(plan: Of, found: Of) -> str | None:
    """`yes`, `no` or `undecided`: did following the plan beat random rows for all of its budget, pilot included?

    Null where the run has no such pair. A gain inside its own 95 % interval, or without one, is undecided.
    """
    gain, half = found["gain"], found["gain_half"]
    if gain is None:
        return None
    if plan["recommendation"].get("method") == "random" or gain <= 0:
        return "no"
    return "yes" if half is not None and gain > half else "undecided"


def _worth_it(plan: Of, found: Of) -> str:
    word = found["worth"]
    if word is None:
        return ""
    pilot = plan.get("pilot_flops")
    whose = f"its pilot ({pilot:.3g} FLOPs)" if pilot else "asking"
    if plan["recommendation"].get("method") == "random":
        return f"Was the plan worth {whose}? No: random rows need no plan."
    gain, half = found["gain"], found["gain_half"]
    sure = ", one run each" if half is None else f" (95 % of the gain {gain - half:+.2g} to {gain + half:+.2g})"
    amount = f"{abs(gain):.3g} {'better' if gain > 0 else 'worse'} than random rows for the whole budget{sure}"
    answer = {"yes": "Yes", "no": "No", "undecided": "Undecided"}[word]
    return f"Was the plan worth {whose}? {answer}: {amount}."


def _nearness(found: Of) -> str:
    """How near the recommended arm came to what was expected of it, and how many of all arms did."""
    lines = found["expected"]
    if not lines:
        return "It expected no score of this metric, so only its choice is judged." if lines is None else ""
    same = ("method", "scorer", "budget", "rows")
    taken = [one for one in lines if all(one[key] == found["taken"][key] for key in same)]
    text = ""
    if taken:
        (one,) = taken
        se = "" if one["se"] is None else f" +- {one['se']:.2g}"
        text = (
            f"It had expected {one['expected']:.4g} ({one['low']:.4g} to {one['high']:.4g}) on "
            f"{one['expected_rows']:,} rows; {one['score']:.4g}{se} was reached on {one['rows']:,}. "
        )
    inside = sum(one["inside"] for one in lines)
    return f"{text}{inside} of {len(lines)} arms came out inside their 95 % interval."


def _named(arm: Of) -> str:
    return f"{arm['method']} on {arm['rows']:,} rows" if arm["rows"] else str(arm["method"])
