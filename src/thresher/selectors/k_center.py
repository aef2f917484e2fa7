"""The rows that leave no row far from a chosen one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Feature, Kind, Selector, Subset
from thresher.selectors._ranking import most_rows
from thresher.selectors._unit import unit_rows

BLOCK = 1 << 18  # numbers held of a difference at once


@dataclass(frozen=True, kw_only=True)
class KCenter(Selector):
    """Farthest-first traversal on features of unit length, begun at the row nearest their mean.

        j_1 = argmin_i |x_i - mean|,   j_t = argmax_i min_{u < t} |x_i - x_ju|,   gain_t = that distance

    At every prefix no row is farther from a chosen one than twice what the best choice of as many rows allows.

    Source:  Gonzalez 1985; as core-set selection Sener & Savarese 2018, arXiv:1708.00489.
    Differs: the latter start from rows already labelled; there are none here. The first gain is the distance of the
             farthest row, for want of a row to measure from.
    Cost:    2 n k d FLOPs; memory n d.
    """

    needs: ClassVar[tuple[Kind, ...]] = ("feature",)
    gain_is: ClassVar[str] = "distance to the nearest row chosen before"

    def cost(self, load: Load) -> Cost:
        """One distance from every row to every choice."""
        return Cost(flops=2.0 * load.n * load.k * load.d)

    def choose(
        self, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The next farthest row until it does not fit."""
        unit, notes = unit_rows(feature)
        apart = np.full(len(unit), np.inf)  # (n,) squared distance to the nearest choice
        row = int(squared_distances(unit, unit.mean(axis=0, dtype=np.float64).astype(unit.dtype)).argmin())
        index: list[int] = []
        gain: list[float] = []
        spent, limit = 0.0, budget * (1 + 1e-12)
        for _ in range(most_rows(price, budget)):
            spent += price[row]
            if spent > limit:
                break
            index.append(row)
            gain.append(float(np.sqrt(apart[row])))
            np.minimum(apart, squared_distances(unit, unit[row]), out=apart)
            apart[row] = -1.0  # never again, and behind copies of it, which are at 0
            row = int(apart.argmax())
            if len(gain) == 1:
                gain[0] = float(np.sqrt(max(apart[row], 0.0)))
        return Subset(np.array(index, dtype=np.int64), np.array(gain, dtype=np.float64), notes=notes)


def squared_distances(x: Float[np.ndarray, "n d"], point: Float[np.ndarray, " d"]) -> Float[np.ndarray, " n"]:
    """From the differences themselves, so that copies are at exactly 0; a block stays in the processor's cache."""
    out = np.empty(len(x))
    step = max(1, BLOCK // x.shape[1])
    for start in range(0, len(x), step):
        apart = x[start : start + step] - point
        out[start : start + step] = np.einsum("nd,nd->n", apart, apart)
    return out
