"""A panel on a scale that other panels share: how much each method adds to random rows, by share of the pool.

    utility(method, f) = (score - base) / range      base: random at 2.5 % of the pool
                                                     range: best minus worst trained arm of the panel
    lead(method, f)    = utility(method, f) - utility(random, f)

Levels and units differ from task to task and say nothing about the next one. What carries over, weakly, is how
random rows climb and how far ahead of them a method is. Ours: no published planner has a form for it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from thresher.planning.arms import Arm, arms
from thresher.planning.results import Panel

BASE = 0.025  # share of the pool at which random's utility is 0
PLAIN = "random"


@dataclass(frozen=True)
class Line:
    """One method of one source.

    Attributes:
        source: where it is from, in words.
        points: (share of the pool, utility) of random by rising share; (share, lead over random) of the others.
        weight: sources that it counts as.
    """

    source: str
    method: str
    points: tuple[tuple[float, float], ...]
    model_params: float | None = None
    scorer_params: float | None = None
    weight: float = 1.0

    def at(self, fraction: float) -> float:
        """Linear in the logarithm of the share.

        Random goes on along its end slope below its smallest share, levels off above its largest. A lead stays what it
        is below the smallest share, and from the largest on falls to 0 at the whole pool, where everything is chosen.
        """
        if self.method == PLAIN:
            return _along(self.points, fraction)
        inner = [point for point in self.points if point[0] < 1]
        return _between([*inner, (1.0, 0.0)], fraction) if inner else 0.0

    def covers(self, fraction: float) -> bool:
        """Whether a share lies within a factor of two of what was tried."""
        return self.points[0][0] / 2 <= fraction <= 2 * self.points[-1][0]


def _along(points: Sequence[tuple[float, float]], fraction: float) -> float:
    if fraction < points[0][0] and len(points) > 1:
        (f0, u0), (f1, u1) = points[:2]
        return u0 + (u1 - u0) * math.log(fraction / f0) / math.log(f1 / f0)
    return _between(points, fraction)


def _between(points: Sequence[tuple[float, float]], fraction: float) -> float:
    if fraction <= points[0][0]:
        return points[0][1]
    for (f0, u0), (f1, u1) in zip(points, points[1:], strict=False):
        if fraction <= f1:
            return u0 + (u1 - u0) * math.log(fraction / f0) / math.log(f1 / f0)
    return points[-1][1]


def share_of(arm: Arm, full_flops: float | None, most_rows: int | None) -> float | None:
    """Share of the pool: as recorded, else by training cost or rows against the largest; None for an untrained arm."""
    if arm.untrained:
        return None
    if arm.fraction:
        return arm.fraction
    if full_flops:
        return min(1.0, arm.training_flops / full_flops)
    return min(1.0, arm.rows / most_rows) if arm.rows and most_rows else None


def shares(found: Sequence[Arm], full_flops: float | None) -> list[float | None]:
    """Of every arm."""
    most = max((arm.rows for arm in found if arm.rows), default=None)
    return [share_of(arm, full_flops, most) for arm in found]


def lines_of(panel: Panel) -> list[Line]:
    """The lines of one panel; none where random rows, or a spread of scores, are missing."""
    found = arms(panel)
    sign = 1.0 if panel.higher else -1.0
    sized = [(arm, f) for arm, f in zip(found, shares(found, panel.full_flops), strict=True) if f]
    scores = [sign * arm.score for arm, _ in sized]
    spread = max(scores, default=0.0) - min(scores, default=0.0)
    names = {PLAIN} if any(arm.method == PLAIN for arm, _ in sized) else {m for m in _methods(sized) if _is_drawn(m)}
    plain = _points([(f, sign * arm.score) for arm, f in sized if arm.method in {*names, "full"}])
    if spread <= 0 or not plain:
        return []
    zero = _along(plain, BASE)
    source = f"{panel.task}, {panel.model}"
    params = panel.runs[0].model_params
    random = Line(source, PLAIN, tuple((f, (s - zero) / spread) for f, s in plain), params)
    groups: dict[tuple[str, float | None], list[tuple[float, float]]] = {}
    for arm, f in sized:
        if arm.method not in {*names, "full"}:
            lead = (sign * arm.score - zero) / spread - random.at(f)
            groups.setdefault((arm.method, arm.runs[0].scorer_params), []).append((f, lead))
    return [
        random,
        *(Line(source, method, tuple(_points(line)), params, scorer) for (method, scorer), line in groups.items()),
    ]


def _methods(sized: Sequence[tuple[Arm, float]]) -> set[str]:
    return {arm.method for arm, _ in sized}


def _is_drawn(method: str) -> bool:
    return method.startswith(f"{PLAIN}:")


def _points(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """By rising share; several at one share are averaged."""
    groups: dict[float, list[float]] = {}
    for f, value in pairs:
        groups.setdefault(f, []).append(value)
    return [(f, statistics.fmean(groups[f])) for f in sorted(groups)]
