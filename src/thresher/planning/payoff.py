"""Where choosing pays, by a table of results: shared over how many runs, from which size ratio on, with its spread.

    of one arm      scores are drawn again, 400 times: mean + se * Student's t, with the spread of a run pooled over all
                    arms that have several seeds (a bootstrap of two seeds has three outcomes), else each run's own
                    standard error; the 2.5 % and 97.5 % of what they lead to
    of a method     the median over its arms on all targets, and a bootstrap that resamples targets (sizes where there
                    is one target): the ratio differs more from target to target than from seed to seed

Never is a value like any other in the middle and at the ends: it is larger than every number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thresher.planning.arms import Arm
from thresher.planning.breakeven import cheap_fraction, runs_to_pay, size_ratio
from thresher.planning.results import Panel

CHEAP = 0.01  # a selection bill under 1 % of the training is no bill: random, lexical methods
DRAWS = 400
WHOLE = 0.99  # of a full run's training: chosen rows may be shorter than the pool's
Of = Mapping[str, Any]
Points = list[tuple[float, float]]  # (share of a full run's training, score)


def break_even(panel: Panel, found: Sequence[Arm]) -> list[dict[str, object]]:
    """For every arm that paid for choosing: the runs that must share it, and the size ratio it needs.

    `runs` is null for never; 0 means that the whole pool, chosen by nobody, does not score as much. Where the cheap
    runs end before the whole pool and none scores as much, `beyond` is true: `cheap_fraction` is null, and `runs` and
    `size_ratio_needed` are upper bounds, from the largest cheap run; null if that is no larger than the arm's own.
    `interval` has the 95 % ends of `runs`, `cheap_fraction` and `size_ratio_needed` (null: never, or beyond every cheap
    run) and in how many draws it never pays; it is null for bounds, and where nobody knows how the scores scatter.
    """
    full = panel.full_flops
    trained = [arm for arm in found if not arm.untrained]
    cheap = sorted((arm for arm in trained if _is_cheap(arm) and arm.fraction), key=lambda arm: arm.training_flops)
    paid = [arm for arm in trained if not _is_cheap(arm)]
    if full is None or not cheap:
        return []
    scores, drawn = _scores([*cheap, *paid])
    entries = []
    for place, arm in enumerate(paid, start=len(cheap)):
        entry = _entry(arm, full, scores[place], _lines(cheap, full, scores), panel.higher)
        ends = None
        if drawn is not None and not entry["beyond"]:
            again = [_entry(arm, full, row[place], _lines(cheap, full, row), panel.higher) for row in drawn]
            ends = _ends(again)
        entries.append({**entry, "interval": ends})
    return entries


def _is_cheap(arm: Arm) -> bool:
    return arm.selection_flops <= CHEAP * arm.training_flops


def _lines(cheap: Sequence[Arm], full: float, scores: np.ndarray) -> list[Points]:
    """The cheap methods' scores by share, a line each."""
    lines: dict[str, Points] = {}
    for arm, score in zip(cheap, scores, strict=False):
        lines.setdefault(arm.name, []).append((arm.training_flops / full, float(score)))
    return list(lines.values())


def _entry(arm: Arm, full: float, score: float, lines: list[Points], higher: bool) -> dict[str, Any]:
    at = arm.training_flops / full
    reach = cheap_fraction(float(score), lines, higher=higher)
    largest = max(share for line in lines for share, _ in line)
    beyond = reach is None and largest < WHOLE
    at_least = largest if beyond else reach
    runs = 0.0 if at_least is None else runs_to_pay(arm.selection_flops, arm.training_flops, at_least * full)
    model, scorer = arm.runs[0].model_params, arm.runs[0].scorer_params
    ratio = needed = None
    if model and scorer:
        ratio = model / scorer
        needed = size_ratio(arm.selection_flops / full * ratio, at, at_least)
    return {
        "method": arm.method, "scorer": arm.scorer, "fraction": arm.fraction, "rows": arm.rows, "runs": runs,
        "cheap_fraction": reach, "beyond": beyond, "size_ratio": ratio, "size_ratio_needed": needed,
    }  # fmt: skip


def _scores(found: Sequence[Arm]) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean scores (a,), and draws of them (DRAWS, a); None where the scatter of some arm is not known."""
    mean = np.array([arm.score for arm in found])
    free = sum(len(arm.runs) - 1 for arm in found)
    rng = np.random.default_rng(0)
    if free:
        squares = sum(float(np.var([run.score for run in arm.runs]) * len(arm.runs)) for arm in found)
        se = np.sqrt(squares / free / np.array([len(arm.runs) for arm in found]))
        return mean, mean + se * rng.standard_t(free, size=(DRAWS, len(found)))
    own = [arm.se for arm in found]
    if any(se is None for se in own):
        return mean, None
    return mean, mean + np.array(own, dtype=np.float64) * rng.standard_normal((DRAWS, len(found)))


def _ends(again: Sequence[Of]) -> dict[str, object]:
    found: dict[str, object] = {
        name: [_finite(x) for x in np.quantile(_values(again, name), [0.025, 0.975], method="inverted_cdf")]
        for name in ("runs", "cheap_fraction")
    }
    if again[0]["size_ratio"] is not None:
        needed = np.quantile(_values(again, "size_ratio_needed"), [0.025, 0.975], method="inverted_cdf")
        found["size_ratio_needed"] = [_finite(x) for x in needed]
    return found | {"never": float(np.mean([one["runs"] is None for one in again]))}


def _values(entries: Sequence[Of], name: str) -> np.ndarray:
    return np.array([math.inf if one[name] is None else one[name] for one in entries], dtype=np.float64)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def size_ratios(panels: Sequence[Of]) -> list[dict[str, Any]]:
    """For every method that a scorer read the pool for: how much larger than the scorer the model must be.

    Args:
        panels: of `frontier --json`. An upper bound counts as its bound; what was not measured does not count.

    Returns:
        `median` over arms, `low` and `high` (95 %, `over` targets or sizes), `least` and `most` of a single arm (null:
        never), `never` and `paid` counts of `arms`, `tried` (least and most ratio of the table), and `sentence`.
    """
    arms: dict[str, dict[int, list[Of]]] = {}
    for place, panel in enumerate(panels):
        for entry in panel["break_even"]:
            measured = not entry.get("beyond") or entry["size_ratio_needed"] is not None
            if entry["size_ratio"] is not None and (entry["fraction"] or 0.0) < 1 and measured:
                arms.setdefault(entry["method"], {}).setdefault(place, []).append(entry)
    return [_ratio_of(method, list(groups.values())) for method, groups in arms.items()]


def _ratio_of(method: str, groups: Sequence[Sequence[Of]]) -> dict[str, Any]:
    entries = [entry for group in groups for entry in group]
    values = _values(entries, "size_ratio_needed")
    over = "targets" if len(groups) > 1 else "sizes"
    parts = [_values(group, "size_ratio_needed") for group in groups] if len(groups) > 1 else [v[None] for v in values]
    rng = np.random.default_rng(0)
    medians = [
        _middle(np.concatenate([parts[i] for i in rng.integers(0, len(parts), len(parts))])) for _ in range(DRAWS)
    ]
    low, high = np.quantile(medians, [0.025, 0.975], method="inverted_cdf") if len(parts) > 1 else (math.nan, math.nan)
    tried = [float(entry["size_ratio"]) for entry in entries]
    found: dict[str, Any] = {
        "method": method, "arms": len(entries), "targets": len(groups), "over": over if len(parts) > 1 else "",
        "median": _finite(_middle(values)), "low": _finite(low), "high": _finite(high),
        "least": _finite(values.min()), "most": _finite(values.max()), "never": int(np.isinf(values).sum()),
        "paid": int(sum(r > v for r, v in zip(tried, values, strict=True))), "tried": [min(tried), max(tried)],
    }  # fmt: skip
    return {**found, "sentence": _sentence(found)}


def _middle(values: np.ndarray) -> float:
    """The lower median, which never lies between a number and never."""
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def _sentence(found: Of) -> str:
    many = f"{found['arms']} runs on {found['targets']} target{'s' * (found['targets'] > 1)}"
    low, high = found["tried"]
    tried = f"{low:.3g}" if high / low < 1.01 else f"{low:.3g} to {high:.3g}"
    if found["never"] == found["arms"]:
        return f"{found['method']} never pays in this table ({many}); tried with a model {tried} times its scorer."
    times = "from a model {} its scorer on".format
    median = "never" if found["median"] is None else (
        "at every ratio" if found["median"] == 0 else times(f"{found['median']:.3g} times as large as")
    )
    spread = f"single runs {_shown(found['least'])} to {_shown(found['most'])}"
    if found["over"]:
        ends = f"{_shown(found['low'])} to {_shown(found['high'])}"
        spread = f"95 % {ends} by resampling {found['over']}; {spread}"
    return (
        f"{found['method']} pays {median} (median of {many}; {spread}); tried at {tried}, it paid in {found['paid']}."
    )


def _shown(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g}"
