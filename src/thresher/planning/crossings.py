"""The frontier of the fitted curves: which method's curve leads from how much compute on, and where curves cross.

A curve stands from its method's cheapest run to its dearest; beyond, it stays what it is there, for more compute was at
hand than it used, and before, it is not. So nothing is read off a curve that no run supports. Crossings are sought
where both curves stand on runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from thresher.planning.arms import Arm
from thresher.planning.curves import Fit

_STEPS = 400
FEWEST = 3  # points of a curve: two are met by every curve


@dataclass(frozen=True)
class Course:
    """A fitted curve over the compute that its runs took."""

    fit: Fit
    start: float
    end: float

    def at(self, total_flops: float) -> float:
        """Its score; NaN below its cheapest run."""
        return self.fit.at(min(total_flops, self.end)) if total_flops >= self.start * (1 - 1e-12) else math.nan

    @property
    def named(self) -> dict[str, str]:
        """Method and scorer."""
        return {"method": self.fit.method, "scorer": self.fit.scorer}


def courses(fits: Sequence[Fit], found: Sequence[Arm]) -> list[Course]:
    """The chosen curves with enough points, each with the compute of its runs."""
    cost: dict[tuple[str, str], list[float]] = {}
    for arm in found:
        if not arm.untrained:
            cost.setdefault((arm.method, arm.scorer), []).append(arm.total_flops)
    return [
        Course(fit, min(cost[fit.method, fit.scorer]), max(cost[fit.method, fit.scorer]))
        for fit in fits if fit.chosen and fit.points >= FEWEST
    ]  # fmt: skip


def curve_frontier(fits: Sequence[Fit], found: Sequence[Arm], *, higher: bool) -> dict[str, object]:
    """`frontier`: who leads, from and to which total FLOPs; `crossings` of every pair, cheapest first; `notes`."""
    lines, sign = courses(fits, found), 1.0 if higher else -1.0
    return {
        "frontier": _leaders(lines, sign), "crossings": _crossings(lines, sign), "notes": _notes(lines, found, sign)
    }  # fmt: skip


def _notes(lines: Sequence[Course], found: Sequence[Arm], sign: float) -> list[str]:
    """What not to read into the curves: constants on a bound, scores that fall, methods without a curve."""
    groups: dict[str, list[str]] = {}
    for line in lines:
        if sign * (line.at(line.end) - line.at(line.start)) < 0:
            groups.setdefault("the score gets worse with compute", []).append(line.fit.method)
        elif line.fit.warning:
            groups.setdefault(line.fit.warning, []).append(line.fit.method)
    drawn = {(line.fit.method, line.fit.scorer) for line in lines}
    bare = {arm.method for arm in found if not arm.untrained and not arm.full and (arm.method, arm.scorer) not in drawn}
    if bare:
        groups[f"fewer than {FEWEST} sizes, so no curve is drawn"] = sorted(bare)
    return [f"{', '.join(dict.fromkeys(names))}: {text}" for text, names in groups.items()]


def _leaders(lines: Sequence[Course], sign: float) -> list[dict[str, object]]:
    """Stretches of compute with one leader each."""
    if not lines:
        return []
    grid = np.geomspace(min(line.start for line in lines), max(line.end for line in lines), _STEPS)
    cuts = sorted({*map(float, grid), *(line.start for line in lines), *_meetings(lines, sign)})
    stretches: list[dict[str, object]] = []
    for left, right in zip(cuts, cuts[1:], strict=False):
        middle = math.sqrt(left * right)
        standing = [line for line in lines if line.start <= middle]
        best = max(standing, key=lambda line: (sign * line.at(middle), -line.start))
        last = stretches[-1] if stretches else None
        if last is not None and (last["method"], last["scorer"]) == (best.fit.method, best.fit.scorer):
            last |= {"to": right, "score_to": best.at(right)}
        else:
            score = {"score_from": best.at(left), "score_to": best.at(right)}
            stretches.append({**best.named, "from": left, "to": right, **score})
    return stretches


def _meetings(lines: Sequence[Course], sign: float) -> list[float]:
    """Where any two curves meet, also beyond the dearest run of one of them."""
    end = max(line.end for line in lines)
    pairs = [(one, two) for i, one in enumerate(lines) for two in lines[i + 1 :]]
    return [at for one, two in pairs for at, _ in _roots(one, two, max(one.start, two.start), end, sign)]


def _crossings(lines: Sequence[Course], sign: float) -> list[dict[str, object]]:
    """Where two curves change places while both stand on runs.

    `certain`: on both sides the curves are somewhere further apart than the root of their squared 95 % half widths.
    """
    met = []
    for i, one in enumerate(lines):
        for two in lines[i + 1 :]:
            low, high = max(one.start, two.start), min(one.end, two.end)
            roots = _roots(one, two, low, high, sign)
            for at, rising in roots:
                before, after = (two, one) if rising else (one, two)
                met.append({
                    "at": at, "score": one.at(at), "before": before.named, "after": after.named,
                    "certain": len(roots) == 1 and _clear(one, two, low, at) and _clear(one, two, at, high),
                })  # fmt: skip
    return sorted(met, key=lambda one: one["at"])


def _roots(one: Course, two: Course, low: float, high: float, sign: float) -> list[tuple[float, bool]]:
    """(total FLOPs, whether the first curve leads afterwards) of each change of places between two bounds."""
    if not low < high:
        return []

    def gap(cost: float) -> float:
        return sign * (one.at(cost) - two.at(cost))

    grid = np.geomspace(low, high, _STEPS)
    grid[0], grid[-1] = low, high
    gaps = [gap(float(cost)) for cost in grid]
    found = []
    for left, right, before, after in zip(grid, grid[1:], gaps, gaps[1:], strict=False):
        if before * after < 0:
            found.append((float(brentq(gap, float(left), float(right), rtol=1e-9)), after > 0))
    return found


def _clear(one: Course, two: Course, low: float, high: float) -> bool:
    """Whether the curves are told apart anywhere between two bounds."""
    for cost in np.geomspace(low, high, 20) if low < high else ():
        (first, half), (second, other) = one.fit.predict(float(cost)), two.fit.predict(float(cost))
        if abs(first - second) > math.hypot(half, other):
            return True
    return False
