"""What the selectors over clusters of curves share: fields, price, and the clusters that stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Feature, Selector, name_of
from thresher.errors import FieldError, KindError
from thresher.selectors._curves import mean_curves, rising, staying_above
from thresher.selectors._kmeans import SEEDING, Start, kmeans, tries


@dataclass(frozen=True)
class Parts:
    """Rows that can be chosen, and the cluster of each; what was left out."""

    rows: Int[np.ndarray, " m"]  # ascending
    label: Int[np.ndarray, " m"]
    out: tuple[int, ...] = ()  # sizes of the clusters left out

    @property
    def sizes(self) -> Int[np.ndarray, " c"]:
        """Of the clusters that stay."""
        size = np.bincount(self.label)
        return size[size > 0]


@dataclass(frozen=True, kw_only=True)
class Clustered(Selector):
    """K-means and, where the feature is a loss over time, what is not sampled from."""

    clusters: Annotated[int, "K; fewer where there are fewer different rows"] = 100
    iterations: Annotated[int, "of Lloyd's algorithm, at most"] = 20
    sample: Annotated[int, "rows k-means is trained on (of a group, where by group); all are assigned"] = 256_000
    kmeans_seed: Annotated[int, "of the sample and the start of k-means"] = 0
    start: Annotated[Start, "k-means++ (spread) or random rows"] = "spread"
    max_rise: Annotated[float | None, "losses over time: clusters whose mean ends more above its start are out"] = None
    max_level: Annotated[float | None, "losses over time: clusters with lows above this quantile are out"] = None

    draws: ClassVar[bool] = True
    version: ClassVar[int] = 2  # draws by id

    def cost(self, load: Load) -> Cost:
        """Distances to every centre, and to the rows drawn for one."""
        seeds = (1 + tries(max(self.clusters, 1))) * min(load.n, self.sample, SEEDING) if self.start == "spread" else 0
        passes = seeds + self.iterations * min(load.n, self.sample) + load.n
        return Cost(flops=2.0 * passes * self.clusters * load.d)

    def check(self, feature: Feature) -> None:
        """Fields that have a meaning, and a feature they have it for.

        Raises:
            FieldError: fewer than one cluster or row to train on, or a quantile outside 0 to 1.
            KindError: an option for losses over time, and the feature is none.
        """
        name = name_of(self)
        if self.clusters < 1 or self.sample < 1 or self.iterations < 0:
            raise FieldError(
                f"{name}: clusters {self.clusters}, sample {self.sample} and iterations {self.iterations} are not "
                "at least 1, 1 and 0."
            )
        if self.max_level is not None and not 0 <= self.max_level <= 1:
            raise FieldError(f"{name}: max_level {self.max_level} is not a quantile from 0 to 1.")
        bounds = self._bounds()
        if bounds and feature.shape[1] < 2:
            raise KindError(f"{name}: {bounds} is for losses over time, and the feature has one column.")
        if bounds and len(feature) and feature.min() < 0:
            raise KindError(
                f"{name}: {bounds} is for losses in the order of time, and the feature has values below 0. Give it "
                "losses as they were recorded (trajectory with change = none), or leave the bound out."
            )

    def _bounds(self) -> str:
        """Those that are set, in words."""
        named = {"max_rise": self.max_rise, "max_level": self.max_level}
        return ", ".join(f"{name} = {value:g}" for name, value in named.items() if value is not None)

    def parted(self, feature: Feature) -> Parts:
        """Clusters, less those that rise or stay high."""
        rows = np.arange(len(feature))
        label = kmeans(
            feature, self.clusters, iterations=self.iterations, sample=self.sample, seed=self.kmeans_seed,
            start=self.start,
        ).label  # fmt: skip
        size = np.bincount(label)
        gone = np.zeros(len(size), dtype=bool)
        if self.max_rise is not None:
            gone |= rising(mean_curves(feature, label), self.max_rise)
        if self.max_level is not None:
            gone |= staying_above(feature, label, self.max_level)
        stay = ~gone[label]
        return Parts(rows[stay], label[stay], tuple(int(s) for s in size[gone] if s))

    def said(
        self, parts: Sequence[Parts], taken: Int[np.ndarray, " k"], price: Float[np.ndarray, " n"], budget: float
    ) -> tuple[str, ...]:
        """What was left out, and whether the budget would have paid for some of it.

        Raises:
            FieldError: nothing was left in.
        """
        left, out = sum(len(part.rows) for part in parts), [size for part in parts for size in part.out]
        if not out:
            return ()
        note = f"{len(out)} clusters of {sum(out)} rows together are left out by {self._bounds()}"
        if left == 0:
            raise FieldError(f"{name_of(self)}: no row is left to choose from: {note}. Raise the bound.")
        if len(taken) < left:
            return (note,)
        outside = np.ones(len(price), dtype=bool)
        outside[taken] = False
        unspent = price[taken].sum() + price[outside].min() <= budget * (1 + 1e-12)
        return (note, f"all {left} rows left in are taken: part of the budget is unspent") if unspent else (note,)
