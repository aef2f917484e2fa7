"""The rows closest to any one target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Kind, Selector, Subset
from thresher.selectors._ranking import longest_prefix, ranked


@dataclass(frozen=True, kw_only=True)
class MaxAffinity(Selector):
    """Descending maximum over columns ("doubly greedy").

        score_i = max_z affinity_iz

    Source:  Xia et al. 2024 (LESS), arXiv:2402.04333; the name from Nayak et al. 2026, arXiv:2602.14696.
    Differs: nothing known.
    Cost:    one sort.
    """

    needs: ClassVar[tuple[Kind, ...]] = ("affinity",)
    gain_is: ClassVar[str] = "affinity to its closest target"

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, affinity: Affinity, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix by maximum affinity."""
        column = affinity.argmax(axis=1)
        score = affinity[np.arange(len(affinity)), column].astype(np.float64)  # (n, q) -> (n,)
        return longest_prefix(ranked(score, highest=True), score, price=price, budget=budget, column=column)
