"""The budget spread evenly over clusters of a feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.method import Feature, Kind, Subset
from thresher.selectors._clustered import Clustered
from thresher.selectors._ranking import longest_prefix
from thresher.selectors.stratified import water_filling


@dataclass(frozen=True, kw_only=True)
class ClusterBalanced(Clustered):
    """K-means on the feature, then the smallest-first quota over clusters, uniform inside each.

        clusters = argmin sum_i |x_i - centre_c(i)|^2;   then as `stratified` with label c(i)

    Source:  Yang et al. 2024 (S2L), arXiv:2403.07384, Algorithm 1.
    Differs: they start from K random rows (`start = "random"`); k-means++ on a sample ends with less inertia. Every
             row is assigned, whether trained on or not. Clusters follow `kmeans_seed` alone: another seed of the
             selection draws other rows of the same clusters. `max_rise` and `max_level` are ours: clusters of
             diverging or lasting loss are never drawn from, even if part of the budget stays unspent, and noted.
             They read the columns as losses in the order of time, and are refused where a value is below 0.
    Cost:    2 n K d FLOPs an iteration, on at most `sample` rows, and once for all rows; k-means++ as nine iterations
             of at most 25,600 rows.
    """

    needs: ClassVar[tuple[Kind, ...]] = ("feature",)
    gain_is: ClassVar[str] = "turn of its cluster"

    def choose(
        self, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of the water-filling order over clusters."""
        self.check(feature)
        parts = self.parted(feature)
        if not parts.rows.size:
            return Subset(parts.rows, np.zeros(0), notes=self.said([parts], parts.rows, price, budget))
        order, turn = water_filling(renumbered(parts.label, rng), rng)
        gain = np.zeros(len(feature))
        gain[parts.rows] = turn
        chosen = longest_prefix(parts.rows[order], gain, price=price, budget=budget)
        size = parts.sizes
        note = f"{len(size)} clusters of {size.min()} to {size.max()} rows, median {np.median(size):g}"
        return Subset(chosen.index, chosen.gain, notes=(note, *self.said([parts], chosen.index, price, budget)))


def renumbered(label: Int[np.ndarray, " n"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """The same clusters under random numbers: which of two equally large ones gets a spare row is drawn."""
    return rng.permutation(int(label.max()) + 1)[label]
