"""Rows at random: what every method has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Selector, Subset
from thresher.selectors._ranking import longest_prefix


@dataclass(frozen=True, kw_only=True)
class Uniform(Selector):
    """A uniform permutation of the pool; the budget takes a prefix.

    Source:  the baseline of every paper cited here.
    Differs: nothing known.
    Cost:    none.
    """

    shuffle: Annotated[bool, "draw at random, else keep the pool's order"] = True

    needs: ClassVar[tuple[Kind, ...]] = ()
    version: ClassVar[int] = 2  # draws by id
    gain_is: ClassVar[str] = "nothing"

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Unless it keeps the pool's order."""
        return self.shuffle

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(self, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator) -> Subset:
        """The longest affordable prefix of a permutation."""
        order = rng.permutation(len(price)) if self.shuffle else np.arange(len(price))
        return longest_prefix(order, np.zeros(len(price)), price=price, budget=budget)
