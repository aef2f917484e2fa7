"""Rows near many targets, each target spread evenly over its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Kind, Selector, Subset
from thresher.selectors._ranking import best, longest_prefix


@dataclass(frozen=True, kw_only=True)
class KnnUniform(Selector):
    """Every target spreads a mass of 1/q over its K nearest rows, K where spreading further costs too much distance.

        dist = 1 - affinity, ascending per target z;   K = 1, 2, ... while
            (alpha / C) sum_z sum_{u <= K} (dist_z,K+1 - dist_zu) < (1 - alpha) q
        mass_i = #{z : i among the K nearest of z} / (K q);   order: mass, then highest affinity, then pool order

    Source:  Liu, Karbasi & Rekatsinas 2024 (TSDS), arXiv:2410.11303; as a ranking Nayak et al. 2026, arXiv:2602.14696.
    Differs: ties of mass, which takes few values, go to the higher affinity, not to file order; rows without mass
             follow by affinity.
    Cost:    the nearest rows of each column, n q, and one sort.
    """

    alpha: Annotated[float, "towards 1 the nearest row only, towards 0 spread wide"] = 0.01
    C: Annotated[float, "scale of distances: they are divided by it"] = 5.0
    prefetch: Annotated[int, "nearest rows looked at per target"] = 5000

    needs: ClassVar[tuple[Kind, ...]] = ("affinity",)
    gain_is: ClassVar[str] = "share of the targets' mass"

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, affinity: Affinity, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix by mass."""
        near = nearest(affinity, min(self.prefetch, len(affinity)))
        k = self._neighbours(distances(affinity, near))
        holders = np.bincount(near[:, :k].ravel(), minlength=len(affinity))  # (n,) targets with the row among K
        order, column = by_mass(holders, affinity)
        mass = holders / (k * affinity.shape[1])
        notes = (f"{k} neighbours a target; {np.count_nonzero(holders)} rows have mass",)
        chosen = longest_prefix(order, mass, price=price, budget=budget, column=column)
        return Subset(chosen.index, chosen.gain, column=chosen.column, notes=notes)

    def _neighbours(self, dist: Float[np.ndarray, "q l"]) -> int:
        level = np.arange(1, dist.shape[1])  # K = 1..l-1
        held = np.cumsum(dist, axis=1)[:, :-1]  # (q, l-1) sum of the K smallest
        transport = (level * dist[:, 1:] - held).sum(axis=0)  # (l-1,) never falls with K
        return 1 + int(np.count_nonzero(self.alpha / self.C * transport < (1 - self.alpha) * len(dist)))


def nearest(affinity: Affinity, depth: int) -> Int[np.ndarray, "q l"]:
    """Each column's rows of highest affinity, best first, ties in pool order."""
    return np.stack([best(np.ascontiguousarray(column), depth) for column in affinity.T])


def distances(affinity: Affinity, near: Int[np.ndarray, "q l"]) -> Float[np.ndarray, "q l"]:
    """1 - affinity to the rows named."""
    return 1.0 - affinity[near, np.arange(len(near))[:, None]].astype(np.float64)


def by_mass(mass: np.ndarray, affinity: Affinity) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """All rows by mass, then by their highest affinity, then in pool order; and the column of that affinity."""
    column = affinity.argmax(axis=1)
    closest = affinity[np.arange(len(affinity)), column]  # (n,)
    return np.lexsort((-closest, -mass)), column
