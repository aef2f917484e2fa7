"""The budget spread evenly over groups; small groups are taken whole and the rest flows on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Label, Selector, Subset
from thresher.selectors._ranking import longest_prefix


@dataclass(frozen=True, kw_only=True)
class Stratified(Selector):
    """The smallest-first quota over groups, uniform inside each.

        groups ascending by size, r = k;  quota_c = floor(r / (C - c)),  take_c = min(size_c, quota_c),  r -= take_c

    Source:  Yang et al. 2024 (S2L), arXiv:2403.07384, Algorithm 1; METHODS 1.5.1 for the nested order.
    Differs: the published loop is run per budget; here one order has the loop's quotas at every prefix.
             `proportional` orders by (rank + 1/2) / size (Webster), because largest remainders are not nested.
    Cost:    one sort.
    """

    proportional: Annotated[bool, "shares by group size, instead of equal quotas"] = False

    needs: ClassVar[tuple[Kind, ...]] = ("label",)
    version: ClassVar[int] = 2  # draws by id
    draws: ClassVar[bool] = True
    gain_is: ClassVar[str] = "turn of its group"

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, label: Label, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix of the water-filling order."""
        order, turn = water_filling(label, rng, proportional=self.proportional)
        return longest_prefix(order, turn, price=price, budget=budget)


def water_filling(
    label: Int[np.ndarray, " n"], rng: np.random.Generator, *, proportional: bool = False
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """An order whose every prefix has the smallest-first quotas, and each row's turn within its group."""
    groups, group, size = np.unique(label, return_inverse=True, return_counts=True)
    turn = random_rank(group, size, rng)  # (n,) 0, 1, 2, ... inside each group
    position = np.empty(len(groups), dtype=np.int64)
    position[np.argsort(size, kind="stable")] = np.arange(len(groups))  # the smallest group has position 0
    key = (turn + 0.5) / size[group] if proportional else turn
    return np.lexsort((-position[group], key)), turn.astype(np.float64)


def random_rank(
    group: Int[np.ndarray, " n"], size: Int[np.ndarray, " c"], rng: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """A uniform random rank 0, 1, ... for each row among its group."""
    shuffled = rng.permutation(len(group))
    by_group = shuffled[np.argsort(group[shuffled], kind="stable")]  # groups one after another, shuffled inside
    start = np.repeat(np.cumsum(size) - size, size)
    rank = np.empty(len(group), dtype=np.int64)
    rank[by_group] = np.arange(len(group)) - start
    return rank
