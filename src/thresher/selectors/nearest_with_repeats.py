"""Every target's nearest row, then every target's second nearest; a row may be taken by several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Kind, Selector, Subset
from thresher.selectors._ranking import affordable, best, most_rows


@dataclass(frozen=True, kw_only=True)
class NearestWithRepeats(Selector):
    """Ranks filled one after another; what several targets take counts as often, as the row's weight.

        picks = (1st of z = 1..q), (2nd of z = 1..q), ...;   weight_i = picks of row i within the budget

    Source:  the curated task-adaptive pre-training of Gururangan et al. 2020, arXiv:2004.10964, as run by Kang et al.
             2024, arXiv:2405.02774.
    Differs: their space is a bag-of-words autoencoder's; here any affinity. Every repeat is paid for.
    Cost:    sorting each column as deep as the budget reaches, n q.
    """

    distinct: Annotated[bool, "take every row once, so that a target whose row is taken loses the turn"] = False

    needs: ClassVar[tuple[Kind, ...]] = ("affinity",)
    gain_is: ClassVar[str] = "affinity to the first target that chose it"

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, affinity: Affinity, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """Picks until one does not fit; rows in the order of their first pick, with the number of picks."""
        picks = self._picks(affinity, price, budget)  # (m,) rank after rank, target after target
        first = np.unique(picks, return_index=True)[1]
        if self.distinct:
            picks, place = picks[np.sort(first)], np.sort(first)
        bought = affordable(picks, price=price, budget=budget)
        rows, start, count = np.unique(picks[:bought], return_index=True, return_counts=True)
        order = np.argsort(start)
        column = (place[start[order]] if self.distinct else start[order]) % affinity.shape[1]
        weight = None if self.distinct else count[order].astype(np.float64)
        return Subset(rows[order], affinity[rows[order], column].astype(np.float64), weight=weight, column=column)

    def _picks(
        self, affinity: Affinity, price: Float[np.ndarray, " n"], budget: float
    ) -> Int[np.ndarray, " m"]:
        n, q = affinity.shape
        # distinct: the first r ranks of one column alone are r different rows
        depth = most_rows(price, budget) + 1 if self.distinct else budget // (price.min() * q) + 2
        depth = int(min(n, depth))
        return np.stack([best(np.ascontiguousarray(affinity[:, z]), depth) for z in range(q)], axis=1).ravel()
