"""The best rows by one score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Score, Selector, Subset
from thresher.selectors._ranking import longest_prefix, ranked


@dataclass(frozen=True, kw_only=True)
class TopK(Selector):
    """A stable sort by score, from the wanted end.

        order = argsort(+-score_i)    or    argsort(+-score_i / price_i)

    Source:  the greedy rule of Yin & Rush 2025, arXiv:2410.16208 (section 3).
    Differs: nothing known.
    Cost:    one sort.
    """

    highest: Annotated[bool, "take the highest scores first, else the lowest"] = True
    cap: Annotated[float | None, "leave out rows beyond this score before sorting"] = None
    per_price: Annotated[bool, "sort by score per unit of price"] = False

    needs: ClassVar[tuple[Kind, ...]] = ("score",)

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, score: Score, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of the sorted rows."""
        order = ranked(score / price if self.per_price else score, highest=self.highest)
        if self.cap is not None:
            order = order[score[order] <= self.cap if self.highest else score[order] >= self.cap]
        return longest_prefix(order, score, price=price, budget=budget)
