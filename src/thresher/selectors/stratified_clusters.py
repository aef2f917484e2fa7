"""The budget spread evenly over groups, and inside each group over clusters of a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.method import Feature, Kind, Label, Subset
from thresher.selectors._clustered import Clustered
from thresher.selectors._ranking import longest_prefix
from thresher.selectors.cluster_balanced import renumbered
from thresher.selectors.stratified import water_filling


@dataclass(frozen=True, kw_only=True)
class StratifiedClusters(Clustered):
    """The smallest-first quota over groups; in each group the same over its own clusters, tiny clusters last.

        place_i = rank of i in its group: rows of large clusters in water-filling order, then the rest at random
        order   = by (place, group size descending)

    Source:  the released code of Yang et al. 2024 (S2L), arXiv:2403.07384.
    Differs: the published loop is run per budget, stops at a group smaller than K, and draws unseeded; here one
             order has the loop's quotas at every prefix, and K is at most the group's rows. The bounds are as in
             `cluster_balanced`, quantiles those of the group; a group's size is that of what is left in.
    Cost:    2 n K d FLOPs an iteration, and once more; k-means++ as in `cluster_balanced`.
    """

    tiny: Annotated[int, "clusters of up to this many rows come last, as one"] = 2

    needs: ClassVar[tuple[Kind, ...]] = ("label", "feature")
    gain_is: ClassVar[str] = "turn of its group"

    def choose(
        self, label: Label, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float,
        rng: np.random.Generator,
    ) -> Subset:  # fmt: skip
        """The longest affordable prefix of the two-level order."""
        self.check(feature)
        names, group = np.unique(label, return_inverse=True)
        place = np.full(len(label), -1, dtype=np.int64)  # -1: left out
        found = []
        for g in range(len(names)):
            rows = np.flatnonzero(group == g)
            found.append(self.parted(feature[rows]))
            stay = rows[found[-1].rows]
            if stay.size:
                place[stay[inside(found[-1].label, self.tiny, rng)]] = np.arange(len(stay))
        left = np.flatnonzero(place >= 0)
        size = np.bincount(group[left], minlength=len(names))
        position = np.empty(len(names), dtype=np.int64)
        position[np.argsort(size, kind="stable")] = np.arange(len(names))  # the smallest group has position 0
        order = left[np.lexsort((-position[group[left]], place[left]))]
        chosen = longest_prefix(order, place.astype(np.float64), price=price, budget=budget)
        note = f"{sum(len(parts.sizes) for parts in found)} clusters in {len(names)} groups"
        return Subset(chosen.index, chosen.gain, notes=(note, *self.said(found, chosen.index, price, budget)))


def inside(cluster: Int[np.ndarray, " m"], tiny: int, rng: np.random.Generator) -> Int[np.ndarray, " m"]:
    """A group's rows: large clusters in water-filling order, then the rows of tiny ones in random order."""
    small = np.bincount(cluster)[cluster] <= tiny
    large = np.flatnonzero(~small)
    order = large[water_filling(renumbered(cluster[large], rng), rng)[0]] if large.size else large
    return np.concatenate([order, rng.permutation(np.flatnonzero(small))])
