"""Rows whose loss does not fall are left out, the rest is chosen evenly over clusters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Feature, Kind, Score, Selector, Subset
from thresher.errors import BudgetError
from thresher.selectors.cluster_balanced import ClusterBalanced


@dataclass(frozen=True, kw_only=True)
class PrunedClusters(Selector):
    """Rows whose score is at most `most`, then `cluster_balanced` among them.

        kept = {i: score_i <= most}

    Source:  "Prune, Then Select", a withdrawn submission: slopes of the loss, threshold 0.02 of an unpublished unit.
    Differs: the threshold is -0.02 nats a point.
    Cost:    as `cluster_balanced`.
    """

    most: Annotated[float, "rows with a higher score are left out"] = -0.02
    clusters: Annotated[int, "K; fewer where there are fewer different rows"] = 100
    kmeans_seed: Annotated[int, "of the sample and the start of k-means"] = 0

    needs: ClassVar[tuple[Kind, ...]] = ("score", "feature")
    draws: ClassVar[bool] = True
    gain_is: ClassVar[str] = "turn of its cluster"

    def cost(self, load: Load) -> Cost:
        """At most that of all rows."""
        return self._inside().cost(load)

    def choose(
        self, score: Score, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float,
        rng: np.random.Generator,
    ) -> Subset:  # fmt: skip
        """The kept rows, evenly over their clusters.

        Raises:
            BudgetError: no row is kept.
        """
        kept = np.flatnonzero(score <= self.most)
        if not kept.size:
            raise BudgetError(
                f"no row's score is at most {self.most:g}; they lie between {score.min():g} and {score.max():g}. "
                "Raise pruned_clusters.most, or take s2l:differences, which leaves no row out."
            )
        chosen = self._inside().choose(feature[kept], price=price[kept], budget=budget, rng=rng)
        note = f"{len(score) - len(kept)} of {len(score)} rows left out: score above {self.most:g}"
        return replace(chosen, index=kept[chosen.index], notes=(note, *chosen.notes))

    def _inside(self) -> ClusterBalanced:
        return ClusterBalanced(clusters=self.clusters, kmeans_seed=self.kmeans_seed)
