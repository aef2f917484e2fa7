"""Every target in turn takes its closest free row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Kind, Selector, Subset
from thresher.selectors._ranking import best, most_rows


@dataclass(frozen=True, kw_only=True)
class RoundRobin(Selector):
    """Columns in the target's order; each in turn takes its highest-affinity row that is not yet taken.

    Source:  Ivison et al. 2025, arXiv:2503.01807; Nayak et al. 2026, arXiv:2602.14696.
    Differs: 2503.01807's code lets a column whose next row is taken lose its turn: `skip_taken`.
    Cost:    sorting each column once, n q log n.
    """

    skip_taken: Annotated[bool, "a column whose next row is taken loses the turn"] = False

    needs: ClassVar[tuple[Kind, ...]] = ("affinity",)
    gain_is: ClassVar[str] = "affinity to the target that chose it"

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, affinity: Affinity, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """Turns until a row does not fit, or no row is left."""
        n, q = affinity.shape
        # a column needs no more rows than can be bought at all: every row before the free one was bought
        depth = n if self.skip_taken else min(n, most_rows(price, budget) + 1)
        column_order = [best(np.ascontiguousarray(affinity[:, z]), depth) for z in range(q)]
        pointer = np.zeros(q, dtype=np.int64)
        taken = np.zeros(n, dtype=bool)
        index: list[int] = []
        column: list[int] = []
        spent, limit = 0.0, budget * (1 + 1e-12)
        while len(index) < n and (pointer < depth).any():
            for z in range(q):
                row = self._next(column_order[z], pointer, z, taken)
                if row is None:
                    continue
                if spent + price[row] > limit:
                    return _subset(affinity, index, column)
                taken[row] = True
                spent += price[row]
                index.append(row)
                column.append(z)
        return _subset(affinity, index, column)

    def _next(self, order: np.ndarray, pointer: np.ndarray, z: int, taken: np.ndarray) -> int | None:
        while pointer[z] < len(order):
            row = int(order[pointer[z]])
            pointer[z] += 1
            if not taken[row]:
                return row
            if self.skip_taken:
                return None
        return None


def _subset(affinity: np.ndarray, index: list[int], column: list[int]) -> Subset:
    rows, columns = np.array(index, dtype=np.int64), np.array(column, dtype=np.int64)
    return Subset(rows, affinity[rows, columns].astype(np.float64), column=columns)
