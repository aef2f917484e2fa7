"""The best rows of which none is a near-copy of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Feature, Kind, Score, Selector, Subset
from thresher.selectors._ranking import affordable, longest_prefix, ranked
from thresher.selectors._unit import unit_rows

BLOCK = 1024
HAIR = 1e-6  # cosines are sums in single precision: this little above the bound is not above it


@dataclass(frozen=True, kw_only=True)
class NearDuplicate(Selector):
    """Rows by descending score; a row is kept if no row kept before is too close to it.

        kept:  keep i if max_{j kept} cos(x_i, x_j) <= tau
        pool:  keep i if 1 - max_{j in pool, j != i} cos(x_i, x_j) >= tau

    Source:  Liu et al. 2024 (DEITA), arXiv:2312.15685, algorithm 1: `kept`.
    Differs: `pool` is what a popular reimplementation does with the same number: the opposite meaning, and both
             members of a pair go. It may spend less than the budget, and notes it.
    Cost:    2 d FLOPs a comparison, at most n k of them (`pool`: n^2).
    """

    tau: Annotated[float, "largest cosine to a kept row (kept) | smallest distance to any row (pool)"] = 0.9
    reading: Annotated[Literal["kept", "pool"], "compare with the rows kept so far, or with the whole pool"] = "kept"
    highest: Annotated[bool, "walk from the highest score, else from the lowest"] = True

    needs: ClassVar[tuple[Kind, ...]] = ("score", "feature")

    def cost(self, load: Load) -> Cost:
        """All comparisons that there can be."""
        return Cost(flops=2.0 * load.d * load.n * (load.k if self.reading == "kept" else load.n))

    def choose(
        self, score: Score, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float,
        rng: np.random.Generator,
    ) -> Subset:  # fmt: skip
        """The longest affordable prefix of the rows that are kept."""
        unit, notes = unit_rows(feature)
        order = ranked(score, highest=self.highest)
        kept, spent = [np.empty(0, dtype=np.int64)], 0.0
        for rows in (self._far(unit, order) if self.reading == "pool" else self._kept(unit, order)):
            kept.append(rows)
            spent += float(price[rows].sum())
            if spent > budget * (1 + 1e-12):
                break
        passed = np.concatenate(kept)
        subset = longest_prefix(passed, score, price=price, budget=budget)
        if len(subset) == len(passed) < affordable(order, price=price, budget=budget):
            notes += (f"only {len(passed)} of {len(order)} rows pass tau = {self.tau}: part of the budget is unspent",)
        return Subset(subset.index, subset.gain, notes=notes)

    def _kept(self, unit: Float[np.ndarray, "n d"], order: Int[np.ndarray, " n"]) -> Iterator[Int[np.ndarray, " m"]]:
        """The rows kept, a block of the order at a time."""
        if self.tau >= 1:  # no cosine is above 1
            yield order
            return
        bound = self.tau + HAIR
        before: list[np.ndarray] = []
        for start in range(0, len(order), BLOCK):
            rows = order[start : start + BLOCK]
            here = unit[rows]
            free = np.ones(len(rows), dtype=bool)
            for held in before:
                free &= (here @ held.T).max(axis=1, initial=-1.0) <= bound  # (b, d) @ (d, m) -> (b,)
            close = here @ here.T > bound  # (b, b)
            for i in range(len(rows)):
                if free[i]:
                    free[i + 1 :] &= ~close[i, i + 1 :]
            before.append(here[free])
            yield rows[free]

    def _far(self, unit: Float[np.ndarray, "n d"], order: Int[np.ndarray, " n"]) -> Iterator[Int[np.ndarray, " m"]]:
        """The rows far from every other row of the pool, a block of the order at a time."""
        for start in range(0, len(order), BLOCK):
            rows = order[start : start + BLOCK]
            closest = np.full(len(rows), -1.0)
            for column in range(0, len(unit), BLOCK * 8):
                near = unit[rows] @ unit[column : column + BLOCK * 8].T  # (b, d) @ (d, c) -> (b, c)
                own = np.flatnonzero((rows >= column) & (rows < column + near.shape[1]))
                near[own, rows[own] - column] = -1.0
                np.maximum(closest, near.max(axis=1), out=closest)
            yield rows[1 - closest >= self.tau - HAIR]
