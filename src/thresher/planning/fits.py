"""Curves for every method of a panel: which form, and how sure of its constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from thresher.planning.arms import Arm
from thresher.planning.curves import FORMS, Fit, fit
from thresher.planning.least_squares import UNIT, line_through, saturating
from thresher.planning.results import Panel

_DRAWS = 200  # bootstrap draws: enough for a 95 % interval's ends to two digits


def fit_panel(
    panel: Panel, found: Sequence[Arm], p_bar: float | None = None, *, intervals: bool = True
) -> list[Fit]:
    """Every form for every method with runs at two sizes; chosen is the least corrected AIC."""
    full = panel.full_flops
    trained = [arm for arm in found if not arm.untrained]
    if full is None and trained:
        full = max(arm.training_flops for arm in trained)  # no fraction known: only kappa has a meaning then
    best = max if panel.higher else min
    ceiling = p_bar if p_bar is not None else best((arm.score for arm in found), default=None)
    fits: list[Fit] = []
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in trained:
        groups.setdefault((arm.method, arm.scorer), []).append(arm)
    for (method, scorer), line in groups.items():
        if len({arm.total_flops for arm in line}) > 1:
            forms = _forms(method, line, full, ceiling, panel.higher, intervals)
            fits += [replace(one, scorer=scorer) for one in forms]
    return fits


def _forms(
    method: str, line: Sequence[Arm], full: float, p_bar: float, higher: bool, intervals: bool
) -> list[Fit]:
    total = np.array([arm.total_flops for arm in line])
    score = np.array([arm.score for arm in line])
    errors = [arm.se for arm in line]
    se = np.array(errors, dtype=np.float64) if all(e is not None and e > 0 for e in errors) else None
    selection = float(np.mean([arm.selection_flops for arm in line]))
    fits = []
    for form in FORMS:
        one = fit(
            total,
            score,
            form=form,
            selection=selection,
            full_flops=full,
            p_bar=p_bar,
            score_se=se,
            higher=higher,
            method=method,
        )
        weight = np.ones_like(score) if se is None else 1 / se**2
        one = replace(one, loo=_leave_one_out(one, total, score, weight))
        fits.append(_with_interval(one, total, line, weight) if intervals else one)
    pick, by = _picked(fits)
    return [replace(one, chosen=i == pick, chosen_by=by if i == pick else "") for i, one in enumerate(fits)]


def _picked(fits: Sequence[Fit]) -> tuple[int, str]:
    """Which form, and by what: corrected AIC, the leave-one-out error where there is none, shifted where neither is.

    Leave-one-out refits on one point less, which with half a dozen points is often the one that carries the curve: it
    is reported beside, and `benchmarks/regret.py` says how often the two differ.
    """
    for name in ("aicc", "loo"):
        known = [getattr(one, name) for one in fits]
        if all(value is not None for value in known):
            return known.index(min(known)), name
    return FORMS.index("shifted"), "points"


def _refit(
    one: Fit, total: np.ndarray, score: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both constants for each row of score and weight (b, t)."""
    cost = total - (0.0 if one.form == "published" else one.selection_flops)
    if one.form == "log-linear":
        return line_through(cost, score, weight)
    return saturating(cost / one.full_flops, score, weight, one.p_bar, one.higher)


def _predict(one: Fit, total: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    cost = total - (0.0 if one.form == "published" else one.selection_flops)
    if one.form == "log-linear":
        return first + second * np.log10(cost / UNIT)
    return (one.p_bar - first) * -np.expm1(-second * cost / one.full_flops) + first


def _leave_one_out(one: Fit, total: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float | None:
    if len(score) < 4:
        return None
    each = weight * (1 - np.eye(len(score)))  # (t, t) row i leaves point i out
    first, second = _refit(one, total, np.broadcast_to(score, each.shape), each)
    return float(np.sqrt(np.mean((_predict(one, total, first, second) - score) ** 2)))


def _with_interval(one: Fit, total: np.ndarray, line: Sequence[Arm], weight: np.ndarray) -> Fit:
    """Bootstrap 95 % intervals of p0 and kappa."""
    rng = np.random.default_rng(0)
    if one.form == "log-linear" or (len(line) < 4 and min(len(arm.runs) for arm in line) < 2):
        return one
    if min(len(arm.runs) for arm in line) > 1:
        draws = [
            rng.choice([run.score for run in arm.runs], size=(_DRAWS, len(arm.runs))).mean(axis=1)
            for arm in line
        ]
        score, each = np.stack(draws, axis=1), np.broadcast_to(weight, (_DRAWS, len(line)))
    else:
        times = rng.multinomial(len(line), np.full(len(line), 1 / len(line)), size=_DRAWS)
        times = times[(times > 0).sum(axis=1) > 1]
        score, each = np.broadcast_to([arm.score for arm in line], times.shape), weight * times
    p0, decay = _refit(one, total, score, each)
    ends = [np.quantile(x, [0.025, 0.975]) for x in (p0, decay / one.full_flops * UNIT)]
    p0_ends, kappa_ends = ((float(low), float(high)) for low, high in ends)
    return replace(one, p0_interval=p0_ends, kappa_interval=kappa_ends)
