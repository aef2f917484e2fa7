"""Rows at random for several targets, each of which draws its share."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Kind, Selector, Subset
from thresher.errors import KindError
from thresher.selectors._ranking import ranked


@dataclass(frozen=True, kw_only=True)
class GumbelShares(Selector):
    """Every column draws without replacement by its own odds, and none draws a row that another has drawn.

        order_z = argsort descending (a_iz / temperature + g_iz),   g_iz ~ Gumbel(0, 1) independent
        in turn:            next is the z of the smallest (spent_z + half a mean price) / share_z (Webster)
        one after another:  z = 1..q, each with its first free rows until one is beyond share_z of the budget

    Source:  Xie et al. 2023 (DSIR), arXiv:2302.03169: targets are served one after another, without replacement.
    Differs: in turn unless asked, so that a smaller budget gives a prefix and no target has the first pick of all.
    Cost:    one sort a column.
    """

    shares: Annotated[tuple[float, ...], "of the budget, in the order of the columns; none: equal shares"] = ()
    in_turn: Annotated[bool, "targets take turns; else one is served after another"] = True
    temperature: Annotated[float, "above 1 flatter, towards 0 the plain ranking"] = 1.0

    needs: ClassVar[tuple[Kind, ...]] = ("affinity",)
    draws: ClassVar[bool] = True
    gain_is: ClassVar[str] = "score for the target that drew it"

    @property
    def nested(self) -> bool:  # type: ignore[override]
        """Served one after another, the second target begins where the budget makes the first one end."""
        return self.in_turn

    def cost(self, load: Load) -> Cost:
        """No model is read."""
        return Cost()

    def choose(
        self, affinity: Affinity, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """Rows in the order drawn, with the column that drew each.

        Raises:
            KindError: shares that are not one positive number a column, or a temperature that is not above 0.
        """
        share = self._shares(affinity.shape[1])
        noisy = affinity.astype(np.float64) / self.temperature + rng.gumbel(size=affinity.shape)
        orders = [ranked(column, highest=True) for column in noisy.T]
        serve = _in_turn if self.in_turn else _one_after_another
        rows, column = serve(orders, share, price, budget)
        return Subset(rows, affinity[rows, column].astype(np.float64), column=column)

    def _shares(self, q: int) -> Float[np.ndarray, " q"]:
        share = np.array(self.shares or [1.0] * q, dtype=np.float64)
        if len(share) != q or not (share > 0).all() or not np.isfinite(share).all():
            raise KindError(
                f"gumbel_shares: shares {list(self.shares)} are not one number above 0 for each of {q} target groups. "
                "Groups come in the order of their names; rows without a group come first."
            )
        if not self.temperature > 0:
            raise KindError(f"gumbel_shares: temperature {self.temperature} is not above 0. Try round_robin.")
        return share / share.sum()


def _in_turn(
    orders: list[Int[np.ndarray, " n"]], share: Float[np.ndarray, " q"], price: Float[np.ndarray, " n"], budget: float
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """(rows, columns): whoever has had least for its share is next; the first row that does not fit ends it."""
    free, left = np.ones(len(price), bool), budget * (1 + 1e-12)
    place = [0] * len(orders)
    turns = [(0.5 * float(price.mean()) / share[z], z) for z in range(len(orders))]
    heapq.heapify(turns)
    rows, column = [], []
    while len(rows) < len(price):
        spent, z = turns[0]
        while not free[orders[z][place[z]]]:
            place[z] += 1
        row = int(orders[z][place[z]])
        left -= price[row]
        if left < 0:
            break
        free[row] = False
        rows.append(row)
        column.append(z)
        heapq.heapreplace(turns, (spent + price[row] / share[z], z))
    return np.array(rows, np.int64), np.array(column, np.int64)


def _one_after_another(
    orders: list[Int[np.ndarray, " n"]], share: Float[np.ndarray, " q"], price: Float[np.ndarray, " n"], budget: float
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """(rows, columns): each spends its share on its first rows that are free, up to one that does not fit."""
    free = np.ones(len(price), bool)
    rows, column = [], []
    for z, order in enumerate(orders):
        open_to_it = order[free[order]]
        fits = np.cumsum(price[open_to_it]) <= share[z] * budget * (1 + 1e-12)
        taken = open_to_it[: int(fits.argmin()) if not fits.all() else len(fits)]
        free[taken] = False
        rows.append(taken)
        column.append(np.full(len(taken), z))
    return np.concatenate(rows).astype(np.int64), np.concatenate(column).astype(np.int64)
