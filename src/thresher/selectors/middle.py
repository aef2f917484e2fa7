"""The rows around the median of one score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Score, Selector, Subset
from thresher.selectors._ranking import longest_prefix, ranked


@dataclass(frozen=True, kw_only=True)
class Middle(Selector):
    """The centred window of the ranks, grown outward from the median.

        ranks ascending 0..n-1; the window for k rows starts at floor((n - k) / 2)

    Source:  Marion et al. 2023, arXiv:2309.04564 (middle perplexity).
    Differs: they cut out a fixed share of the ranks; the nested order here has that window for every k.
    Cost:    one sort.
    """

    needs: ClassVar[tuple[Kind, ...]] = ("score",)

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, score: Score, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of the outward order."""
        order = ranked(score, highest=False)[outward(len(score))]
        return longest_prefix(order, score, price=price, budget=budget)


def outward(n: int) -> Int[np.ndarray, " n"]:
    """Ranks from the middle outward; the first k of them are the window that starts at floor((n - k) / 2)."""
    step = np.arange(n)
    side = np.where(step % 2 == 1, 1, -1) * ((step + 1) // 2)  # 0, +1, -1, +2, -2, ...
    return (n - 1) // 2 + (side if n % 2 == 0 else -side)
