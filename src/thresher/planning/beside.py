"""An arm beside random rows: at the same total compute, where random was run that far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thresher.planning.arms import Arm
from thresher.planning.difference import Difference, difference, paired

UNCHOSEN = ("random", "full")  # rows nobody chose; `full` is random at 100 %
_SLACK = 1.02  # two budgets that differ by what one row costs are one budget
_REACH = 1.1  # the last step of an axis: a tenth more than the dearest random run is still beside it


@dataclass(frozen=True)
class Beside:
    """An arm beside random rows.

    Attributes:
        lead: over random at the arm's own place on the axis; over the dearest random run where that ends before.
        share: the dearest random run's place over the arm's, where random was not run as far as the arm; else None.
    """

    lead: Difference
    share: float | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {**self.lead.to_dict(), "random_reaches": self.share}

    @property
    def p(self) -> float | None:
        """The lead's own; None where it is over less than the arm's own compute."""
        return self.lead.p if self.share is None else None


def against_random(arm: Arm, found: Sequence[Arm], *, higher: bool, axis: str = "total_flops") -> Beside | None:
    """The arm's lead over random at the arm's own total FLOPs (or rows); None where random was never that cheap.

    Between two sizes random is interpolated in log FLOPs, within each seed. Beyond its dearest run that run stands;
    unless that is the whole pool, what random rows give for so much was not measured, and `share` says so.
    """
    plain = sorted((a for a in found if a.method in UNCHOSEN and not a.untrained), key=lambda a: a.at(axis))
    cost = arm.at(axis)
    if not plain or arm.untrained or arm in plain or cost * _SLACK < plain[0].at(axis):
        return None
    below = max((a for a in plain if a.at(axis) <= cost * _SLACK), key=lambda a: a.at(axis))
    above = next((a for a in plain if a.at(axis) > cost * _SLACK), None)
    if above is None or below.at(axis) * _SLACK >= cost:
        short = above is None and below.at(axis) * _REACH < cost and not below.full
        return Beside(difference(arm, below, higher=higher), below.at(axis) / cost if short else None)
    return Beside(_between_two(arm, below, above, axis, higher))


def _between_two(arm: Arm, below: Arm, above: Arm, axis: str, higher: bool) -> Difference:
    cost = arm.at(axis)
    share = math.log(cost / below.at(axis)) / math.log(above.at(axis) / below.at(axis))
    sign = 1.0 if higher else -1.0
    within = paired(arm.by_seed, _between(below.by_seed, above.by_seed, share), sign)
    if within is not None:
        return within
    mean = below.score + share * (above.score - below.score)
    return Difference(sign * (arm.score - mean), None, None, 0, "unpaired")


def _between(low: Mapping[int, float], high: Mapping[int, float], share: float) -> dict[int, float]:
    return {seed: low[seed] + share * (high[seed] - low[seed]) for seed in low.keys() & high.keys()}
