"""Rows at random in proportion to a score's exponential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Score, Selector, Subset
from thresher.errors import KindError
from thresher.selectors._ranking import longest_prefix, ranked


@dataclass(frozen=True, kw_only=True)
class GumbelTopK(Selector):
    """A draw without replacement, row i with odds exp(score_i / temperature) among those left.

        order = argsort descending (score_i / temperature + g_i),   g_i ~ Gumbel(0, 1)

    Source:  Xie et al. 2023 (DSIR), arXiv:2302.03169, section 3; the trick from Vieira 2014 and Kool et al. 2019,
             arXiv:1903.06059.
    Differs: nothing known; temperature 1 is the paper's.
    Cost:    one sort.
    """

    temperature: Annotated[float, "above 1 flatter, towards 0 the plain ranking"] = 1.0

    needs: ClassVar[tuple[Kind, ...]] = ("score",)
    version: ClassVar[int] = 2  # draws by id
    draws: ClassVar[bool] = True

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, score: Score, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of the perturbed ranking.

        Raises:
            KindError: a temperature that is not above 0.
        """
        if not self.temperature > 0:
            raise KindError(f"gumbel_top_k: temperature {self.temperature} is not above 0. The plain ranking is top_k.")
        perturbed = score.astype(np.float64) / self.temperature + rng.gumbel(size=len(score))
        return longest_prefix(ranked(perturbed, highest=True), score, price=price, budget=budget)
