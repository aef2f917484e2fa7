"""The budget spread evenly over groups, and inside each group over clusters of a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Feature, Kind, Label, Selector, Subset
from thresher.selectors._kmeans import Start, kmeans
from thresher.selectors._ranking import longest_prefix
from thresher.selectors.cluster_balanced import renumbered
from thresher.selectors.stratified import water_filling


@dataclass(frozen=True, kw_only=True)
class StratifiedClusters(Selector):
    """The smallest-first quota over groups; in each group the same over its own clusters, tiny clusters last.

        place_i = rank of i in its group: rows of large clusters in water-filling order, then the rest at random
        order   = by (place, group size descending)

    Source:  the released code of Yang et al. 2024 (S2L), arXiv:2403.07384.
    Differs: the published loop is run per budget, stops at a group smaller than K, and draws unseeded; here one
             order has the loop's quotas at every prefix, and K is at most the group's rows.
    Cost:    2 n K d FLOPs an iteration, and once more.
    """

    clusters: Annotated[int, "K in every group; fewer where there are fewer different rows"] = 100
    tiny: Annotated[int, "clusters of up to this many rows come last, as one"] = 2
    iterations: Annotated[int, "of Lloyd's algorithm, at most"] = 20
    sample: Annotated[int, "rows of a group k-means is trained on; all are assigned"] = 256_000
    kmeans_seed: Annotated[int, "of the sample and the start of k-means"] = 0
    start: Annotated[Start, "k-means++ (spread) or random rows"] = "spread"

    needs: ClassVar[tuple[Kind, ...]] = ("label", "feature")
    gain_is: ClassVar[str] = "turn of its group"

    def cost(self, load: Load) -> Cost:
        """Distances to every centre of the row's group."""
        passes = self.iterations * min(load.n, self.sample) + load.n
        return Cost(flops=2.0 * passes * self.clusters * load.d)

    def choose(
        self, label: Label, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float,
        rng: np.random.Generator,
    ) -> Subset:  # fmt: skip
        """The longest affordable prefix of the two-level order."""
        names, group, size = np.unique(label, return_inverse=True, return_counts=True)
        place = np.empty(len(label), dtype=np.int64)
        clusters = 0
        for g in range(len(names)):
            rows = np.flatnonzero(group == g)
            found = kmeans(
                feature[rows], self.clusters, iterations=self.iterations, sample=self.sample, seed=self.kmeans_seed,
                start=self.start,
            )  # fmt: skip
            place[rows[inside(found.label, self.tiny, rng)]] = np.arange(len(rows))
            clusters += len(np.unique(found.label))
        position = np.empty(len(names), dtype=np.int64)
        position[np.argsort(size, kind="stable")] = np.arange(len(names))  # the smallest group has position 0
        order = np.lexsort((-position[group], place))
        chosen = longest_prefix(order, place.astype(np.float64), price=price, budget=budget)
        return Subset(chosen.index, chosen.gain, notes=(f"{clusters} clusters in {len(names)} groups",))


def inside(cluster: Int[np.ndarray, " m"], tiny: int, rng: np.random.Generator) -> Int[np.ndarray, " m"]:
    """A group's rows: large clusters in water-filling order, then the rows of tiny ones in random order."""
    small = np.bincount(cluster)[cluster] <= tiny
    large = np.flatnonzero(~small)
    order = large[water_filling(renumbered(cluster[large], rng), rng)[0]] if large.size else large
    return np.concatenate([order, rng.permutation(np.flatnonzero(small))])
