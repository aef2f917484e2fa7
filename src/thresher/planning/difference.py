"""Is one arm better than another? Differences within seeds, with an honest interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import ndtr, ndtri, stdtr, stdtrit

from thresher.planning.arms import Arm

_NORMAL = 1.959963984540054  # 97.5 % point of the normal distribution


@dataclass(frozen=True)
class Difference:
    """Mean difference in score and its 95 % interval; positive favours the first arm.

    Attributes:
        basis: `paired` (within seeds), `score_se` (unpaired, by standard errors), or `unpaired`
            (no spread known: the plain difference, no interval).
        detectable: the smallest difference these seeds would show with 80 % power; None unless paired.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    basis: str
    detectable: float | None = None

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None

    @property
    def above(self) -> bool:
        """The interval lies above 0."""
        return self.low is not None and self.low > 0

    def above_among(self, comparisons: int) -> bool:
        """The interval lies above 0 even when it is made wide enough for all of so many comparisons (Bonferroni)."""
        if self.low is None or self.high is None:
            return False
        wide = 0.025 / max(comparisons, 1)
        if self.basis == "paired":
            wider = float(stdtrit(self.seeds - 1, 1 - wide) / stdtrit(self.seeds - 1, 0.975))
        else:
            wider = float(ndtri(1 - wide)) / _NORMAL
        return self.mean - wider * (self.mean - self.low) > 0

    @property
    def p(self) -> float | None:
        """The chance of a lead as far from 0, were there none; None where no spread is known."""
        if self.low is None or self.high is None:
            return None
        if self.high == self.low:
            return float(self.mean == 0)
        widths = abs(self.mean) / (self.high - self.mean)  # of half intervals
        if self.basis == "paired":
            return 2.0 * float(stdtr(self.seeds - 1, -widths * stdtrit(self.seeds - 1, 0.975)))
        return 2.0 * float(ndtr(-widths * _NORMAL))

    @property
    def below(self) -> bool:
        """The interval lies below 0."""
        return self.high is not None and self.high < 0

    @property
    def nothing(self) -> bool:
        """Equal in every one of several seeds."""
        return self.basis == "paired" and self.low == 0 and self.high == 0

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {"difference": self.mean, "low": self.low, "high": self.high, "seeds": self.seeds,
                "basis": self.basis, "detectable": self.detectable, "p": self.p}  # fmt: skip


def minimal_detectable_difference(spread: float, seeds: int) -> float:
    """(t_{0.975, m-1} + t_{0.8, m-1}) s_d / sqrt(m): visible at 5 % with 80 % power.

    Args:
        spread: standard deviation of the paired differences.
        seeds: how many pairs; at least 2.

    Raises:
        ValueError: with fewer than 2 pairs nothing can be said.
    """
    if seeds < 2:
        raise ValueError(f"a detectable difference needs at least 2 paired seeds, not {seeds}")
    return float(stdtrit(seeds - 1, 0.975) + stdtrit(seeds - 1, 0.8)) * spread / math.sqrt(seeds)


def paired(first: Mapping[int, float], second: Mapping[int, float], sign: float = 1.0) -> Difference | None:
    """The t interval over the seeds both have; None with fewer than two of them."""
    common = sorted(first.keys() & second.keys())
    if len(common) < 2:
        return None
    each = [sign * (first[seed] - second[seed]) for seed in common]
    mean, spread = statistics.fmean(each), statistics.stdev(each)
    half = float(stdtrit(len(each) - 1, 0.975)) * spread / math.sqrt(len(each))
    detectable = minimal_detectable_difference(spread, len(each))
    return Difference(mean, mean - half, mean + half, len(each), "paired", detectable)


def difference(first: Arm, second: Arm, *, higher: bool) -> Difference:
    """Paired where two seeds are common, else by standard errors, else the plain difference.

    An arm that trained nothing scores the same under every seed, so it pairs with all of the other's.
    """
    sign = 1.0 if higher else -1.0
    found = paired(_scores(first, second), _scores(second, first), sign)
    if found is not None:
        return found
    mean = sign * (first.score - second.score)
    if first.se is None or second.se is None:
        return Difference(mean, None, None, 0, "unpaired")
    half = _NORMAL * math.hypot(first.se, second.se)
    return Difference(mean, mean - half, mean + half, 0, "score_se")


def _scores(arm: Arm, other: Arm) -> dict[int, float]:
    if arm.untrained and len({run.score for run in arm.runs}) == 1:
        return dict.fromkeys(other.by_seed or arm.by_seed, arm.score)
    return arm.by_seed
