"""The rows closest to the target on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Kind, Selector, Subset
from thresher.selectors._ranking import longest_prefix, ranked


@dataclass(frozen=True, kw_only=True)
class MeanAffinity(Selector):
    """Descending mean over columns, which are target groups where a method averages inside groups first.

        score_i = mean_z affinity_iz

    Source:  Yin & Rush 2025, arXiv:2410.16208 (BM25 and embedding runs).
    Differs: nothing known.
    Cost:    one sort.
    """

    needs: ClassVar[tuple[Kind, ...]] = ("affinity",)
    gain_is: ClassVar[str] = "mean affinity to the target"

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, affinity: Affinity, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix by mean affinity."""
        score = affinity.mean(axis=1, dtype=np.float64)  # (n, q) -> (n,)
        return longest_prefix(ranked(score, highest=True), score, price=price, budget=budget)
