"""Thirds of a ranking, in a given order, shuffled inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Score, Selector, Subset
from thresher.selectors._ranking import longest_prefix, ranked

Third = Literal["lowest", "middle", "highest"]


@dataclass(frozen=True, kw_only=True)
class Thirds(Selector):
    """Ranks cut at n/3 and 2n/3; each third is shuffled, then they follow each other as named.

    Source:  the released code of Yin & Rush 2025, arXiv:2410.16208.
    Differs: nothing known; under the name "top" that code puts the lowest third first.
    Cost:    one sort.
    """

    first: Annotated[Third, "the third that is taken first"] = "middle"
    second: Annotated[Third, "then this one"] = "lowest"
    third: Annotated[Third, "and this one last"] = "highest"

    needs: ClassVar[tuple[Kind, ...]] = ("score",)

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, score: Score, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of the three shuffled thirds."""
        n = len(score)
        cut = np.split(ranked(score, highest=False), [n // 3, 2 * n // 3])
        shuffled = {
            name: rng.permutation(rows) for name, rows in zip(("lowest", "middle", "highest"), cut, strict=True)
        }
        order = np.concatenate([shuffled[name] for name in (self.first, self.second, self.third)])
        return longest_prefix(order, score, price=price, budget=budget)
