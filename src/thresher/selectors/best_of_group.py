"""One row per group, the best of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Label, Score, Selector, Subset
from thresher.selectors._ranking import longest_prefix, ranked


@dataclass(frozen=True, kw_only=True)
class BestOfGroup(Selector):
    """The best row of every group by the score, others never; then the groups by that score.

        order = sort {argmin_{i in c} score_i : groups c}   (argmax where the highest is wanted)

    Source:  Zhang et al. 2025 (GRAPE), arXiv:2502.04194: of several answers to one prompt the likeliest.
    Differs: the paper trains on one answer of every prompt; a budget smaller than that takes the best of those first.
    Cost:    one sort.
    """

    highest: Annotated[bool, "the highest score is best, else the lowest"] = False

    needs: ClassVar[tuple[Kind, ...]] = ("score", "label")

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, score: Score, label: Label, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of the groups' best rows."""
        order = ranked(score, highest=self.highest)
        _, first = np.unique(label[order], return_index=True)  # of each group, its earliest place in the ranking
        return longest_prefix(order[np.sort(first)], score, price=price, budget=budget)
