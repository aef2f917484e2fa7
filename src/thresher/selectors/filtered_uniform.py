"""Rows at random among those whose score is in range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Score, Selector, Subset
from thresher.errors import KindError
from thresher.selectors._ranking import longest_prefix


@dataclass(frozen=True, kw_only=True)
class FilteredUniform(Selector):
    """A uniform permutation of the rows between two quantiles of the score, both ends included.

        {i : Q(low) <= score_i <= Q(high)},   Q the pool's quantile, interpolated between rows

    Source:  Xia et al. 2025, arXiv:2410.09335 (length filter, then random).
    Differs: the paper publishes no cut; low = 0.5 is ours.
    Cost:    one sort.
    """

    low: Annotated[float, "quantile below which rows are left out, 0 to 1"] = 0.5
    high: Annotated[float, "quantile above which rows are left out, 0 to 1"] = 1.0

    needs: ClassVar[tuple[Kind, ...]] = ("score",)
    version: ClassVar[int] = 2  # draws by id
    draws: ClassVar[bool] = True

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, score: Score, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of a permutation of the rows in range.

        Raises:
            KindError: quantiles that are not 0 <= low <= high <= 1.
        """
        if not 0 <= self.low <= self.high <= 1:
            raise KindError(f"filtered_uniform: low {self.low} and high {self.high} are not 0 <= low <= high <= 1.")
        floor, ceiling = np.quantile(score, [self.low, self.high])
        inside = np.flatnonzero((score >= floor) & (score <= ceiling))
        return longest_prefix(rng.permutation(inside), score, price=price, budget=budget)
