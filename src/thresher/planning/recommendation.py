"""A plan in words: the reason in one sentence, and the three facts that would change the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from thresher.core.budget import Budget
from thresher.planning.offers import FULL, Candidate, bigger
from thresher.planning.plan import Line, Plan, plan

_PLAIN = ("random", FULL)
_SHARED = (2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1000.0)
_TIMES = (2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)


def reason(made: Plan) -> str:
    """Why this one, in one sentence."""
    if made.best is None:
        top = made.best_of_each()[0]
        return (
            f"Do not train: the untrained model scores {_score(made, made.predictor.zero_shot or 0.0)}, and the best "
            f"that {made.ask.budget} pays for, {top.candidate.name} on {top.candidate.size}, is expected at "
            f"{_score(made, top.estimate.score)}."
        )
    line, second = made.best, runner_up(made)
    if line.candidate.method == FULL:
        beside = "" if second is None else (
            f", and no subset is expected above it (the best, {second.candidate.name} on {second.candidate.size}: "
            f"{_score(made, second.estimate.score)})"
        )
        return f"Train on all: {made.ask.budget} pays for all {line.candidate.rows:,} rows{beside}."
    bill = line.candidate.selection_flops / max(line.candidate.total_flops, 1.0)
    paid = f"choosing takes {100 * bill:.2g} % of the compute" if bill else "choosing costs no FLOPs"
    return (
        f"{line.candidate.name} on {line.candidate.size}: the highest expected score that {made.ask.budget} pays for "
        f"({_score(made, line.estimate.score)}{_ahead(made, line, second)}); {paid}."
    )


def _ahead(made: Plan, line: Line, second: Line | None) -> str:
    if second is None:
        return ""
    gap = made.predictor.better(line.estimate) - made.predictor.better(second.estimate)
    return f", {gap:.2g} ahead of {second.candidate.name}"


def _score(made: Plan, value: float) -> str:
    unit = made.predictor.unit
    return f"{value:+.2f} utility" if unit == "utility" else f"{value:.4g} {unit}"


def runner_up(made: Plan) -> Line | None:
    """The best affordable line of another offer."""
    if made.best is None:
        return None
    mine = (made.best.candidate.method, made.best.candidate.scorer)
    return next(
        (x for x in made.best_of_each() if x.affordable and (x.candidate.method, x.candidate.scorer) != mine), None
    )


def would_change(made: Plan) -> list[dict[str, object]]:
    """Sharing, the size of the model, and how sure the scores are: each with the value at which the answer turns.

    Each is `{"fact", "value", "then", "sentence"}`; value and then are null where nothing tried changes it.
    """
    return [_sharing(made), _size(made), _spread(made)]


def _first(made: Plan, values: tuple[float, ...], ask_with: Callable[[float], Plan]) -> tuple[float, Plan] | None:
    """The first value under which another offer (or none) is recommended."""
    for value in values:
        other = ask_with(value)
        if other.word != made.word:
            return value, other
    return None


def _sharing(made: Plan) -> dict[str, object]:
    now = made.ask.shared_by
    if not made.ask.budget.pays_for_selection:
        text = f"Sharing changes nothing: a budget in {_unit(made.ask.budget)} does not pay for choosing."
        return _fact("sharing", None, None, text)
    found = _first(
        made, tuple(m for m in _SHARED if m > now), lambda m: plan(replace(made.ask, shared_by=int(m)), made.predictor)
    )
    if found is not None:
        value, other = found
        text = f"If one reading of the pool served {int(value)} jobs (now {now}): {other.word}{_on(other)}."
        return _fact("sharing", value, other.word, text)
    if now > 1:
        alone = plan(replace(made.ask, shared_by=1), made.predictor)
        if alone.word != made.word:
            text = f"If the reading were not shared (now by {now} jobs): {alone.word}{_on(alone)}."
            return _fact("sharing", 1, alone.word, text)
    return _fact("sharing", None, None, f"However many jobs share one reading of the pool (up to {_SHARED[-1]:g}), the "
                 "answer stays.")  # fmt: skip


def _size(made: Plan) -> dict[str, object]:
    """The same share of a full run's cost, for a model that is dearer to train, with the same scorers."""

    def larger(times: float) -> Plan:
        ask = replace(made.ask, job=bigger(made.ask.job, times))
        if ask.budget.pays_for_selection:
            ask = replace(ask, budget=Budget(ask.budget.amount * times, ask.budget.unit), spent=ask.spent * times)
        return plan(ask, replace(made.predictor, job=ask.job))

    found = _first(made, _TIMES, larger)
    if found is None:
        return _fact("model size", None, None, f"For models up to {_TIMES[-1]:g} times larger, with budgets as much "
                     "larger, the answer stays.")  # fmt: skip
    value, other = found
    text = f"For a model {value:g} times larger, with a budget as much larger: {other.word}{_on(other)}."
    return _fact("model size", value, other.word, text)


def _spread(made: Plan) -> dict[str, object]:
    """How much of a difference would turn the order of the first two."""
    if made.best is None:
        top = made.best_of_each()[0]
        gap = (made.predictor.zero_shot or 0.0) - top.estimate.score
        return _fact("scores", abs(gap), top.candidate.name,
                     f"If {top.candidate.name} scored {abs(gap):.3g} better than expected: train.")  # fmt: skip
    second = runner_up(made)
    if second is None:
        return _fact("scores", None, None, "Nothing else fits the budget, whatever it would score.")
    gap = made.predictor.better(made.best.estimate) - made.predictor.better(second.estimate)
    wide = max(made.best.estimate.half, second.estimate.half)
    certain = "far less than these predictions are sure of" if gap < wide / 2 else (
        "less than these predictions are sure of" if gap < wide else "more than these predictions are unsure of"
    )
    name = second.candidate.name
    text = f"If {name} scored {gap:.2g} better than expected: {name}; that is {certain} (+-{wide:.2g})."
    return _fact("scores", gap, name, text)


def _fact(fact: str, value: float | None, then: str | None, sentence: str) -> dict[str, object]:
    return {"fact": fact, "value": value, "then": then, "sentence": sentence}


def _on(other: Plan) -> str:
    return "" if other.best is None else f" on {other.best.candidate.size}"


def _unit(budget: Budget) -> str:
    return "rows" if budget.unit == "examples" else budget.unit


def to_dict(made: Plan) -> dict[str, object]:
    """The contract's JSON: recommendation, reason, would_change, candidates."""
    facts = would_change(made)
    best = None if made.best is None else _line(made, made.best)
    return {
        "recommendation": {"answer": made.word, **(best or _nothing(made))},
        "reason": reason(made),
        "would_change": [fact["sentence"] for fact in facts],
        "facts": facts,
        "budget": {
            "asked": str(made.ask.budget), "unit": made.ask.budget.unit, "amount": made.ask.budget.amount,
            "pilot": made.ask.spent, "left": made.ask.left.amount,
        },
        "shared_by": made.ask.shared_by,
        "score_unit": made.predictor.unit,
        "zero_shot": made.predictor.zero_shot,
        "notes": list(made.predictor.notes),
        "not_usable": [
            {"method": o.method, "scorer": o.scorer, "why": o.problem} for o in made.ask.offers if o.problem
        ],
        "best_of_each": [_line(made, line) for line in made.best_of_each()],
        "candidates": [_line(made, line) for line in made.lines],
    }  # fmt: skip


def _line(made: Plan, line: Line) -> dict[str, object]:
    one, estimate = line.candidate, line.estimate
    return {
        "method": one.method, "scorer": one.scorer, "rows": one.rows, "fraction": one.fraction, "tokens": one.tokens,
        "selection_flops": one.selection_flops, "training_flops": one.training_flops, "total_flops": one.total_flops,
        **_money(made, one), "score": estimate.score, "low": estimate.low, "high": estimate.high,
        "basis": estimate.basis, "affordable": line.affordable,
    }  # fmt: skip


def _money(made: Plan, one: Candidate) -> dict[str, object]:
    """Hours, and dollars where the hardware has a price; null where no hardware is known."""
    prices = made.ask.prices
    if not prices.hardware.sheet:
        return {"hours": None, "usd": None}
    hours = one.takes(Budget(1.0, "gpu_hours"), prices)
    rate = prices.hardware.usd_per_hour
    return {"hours": hours, "usd": hours * rate if rate > 0 else None}


def _nothing(made: Plan) -> dict[str, object]:
    zero = made.predictor.zero_shot
    return {
        "method": "zero-shot", "scorer": "", "rows": 0, "fraction": 0.0, "tokens": 0, "selection_flops": 0.0,
        "training_flops": 0.0, "total_flops": 0.0, "hours": 0.0, "usd": 0.0, "score": zero, "low": zero, "high": zero,
        "basis": "measured", "affordable": True,
    }  # fmt: skip
