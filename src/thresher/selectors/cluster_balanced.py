"""The budget spread evenly over clusters of a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Feature, Kind, Selector, Subset
from thresher.selectors._kmeans import Start, kmeans
from thresher.selectors._ranking import longest_prefix
from thresher.selectors.stratified import water_filling


@dataclass(frozen=True, kw_only=True)
class ClusterBalanced(Selector):
    """K-means on the feature, then the smallest-first quota over clusters, uniform inside each.

        clusters = argmin sum_i |x_i - centre_c(i)|^2;   then as `stratified` with label c(i)

    Source:  Yang et al. 2024 (S2L), arXiv:2403.07384, Algorithm 1.
    Differs: they start from K random rows (`start = "random"`); k-means++ on a sample ends with less inertia. Every
             row is assigned, whether trained on or not. Clusters follow `kmeans_seed` alone: another seed of the
             selection draws other rows of the same clusters.
    Cost:    2 n K d FLOPs an iteration, on at most `sample` rows, and once for all rows.
    """

    clusters: Annotated[int, "K; fewer where there are fewer different rows"] = 100
    iterations: Annotated[int, "of Lloyd's algorithm, at most"] = 20
    sample: Annotated[int, "rows k-means is trained on; all are assigned"] = 256_000
    kmeans_seed: Annotated[int, "of the sample and the start of k-means"] = 0
    start: Annotated[Start, "k-means++ (spread) or random rows"] = "spread"

    needs: ClassVar[tuple[Kind, ...]] = ("feature",)
    gain_is: ClassVar[str] = "turn of its cluster"

    def cost(self, load: Load) -> Cost:
        """Distances to every centre."""
        passes = self.iterations * min(load.n, self.sample) + load.n
        return Cost(flops=2.0 * passes * self.clusters * load.d)

    def choose(
        self, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of the water-filling order over clusters."""
        found = kmeans(
            feature, self.clusters, iterations=self.iterations, sample=self.sample, seed=self.kmeans_seed,
            start=self.start,
        )  # fmt: skip
        order, turn = water_filling(renumbered(found.label, rng), rng)
        chosen = longest_prefix(order, turn, price=price, budget=budget)
        size = np.bincount(found.label)
        size = size[size > 0]
        note = f"{len(size)} clusters of {size.min()} to {size.max()} rows, median {np.median(size):g}"
        return Subset(chosen.index, chosen.gain, notes=(note,))


def renumbered(label: Int[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """The same clusters under random numbers: which of two equally large ones gets a spare row is drawn."""
    return rng.permutation(int(label.max()) + 1)[label]
