"""A subset in which every row has a near neighbour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Feature, Kind, Selector, Subset
from thresher.errors import KindError
from thresher.selectors._coverage import Dense, Nearest, Recomputed
from thresher.selectors._lazy_greedy import Coverage, lazy_greedy
from thresher.selectors._unit import unit_rows

Similarity = Literal["auto", "dense", "neighbours", "recomputed"]
MANY = 20_000  # rows, above which "auto" keeps neighbours only
GUARANTEE = "with equal prices at least 1 - 1/e of the best subset of as many rows"


@dataclass(frozen=True, kw_only=True)
class FacilityLocation(Selector):
    """Greedy maximum of how near each row is to its nearest choice.

        f(S) = sum_i max_{j in S} max(0, cos(x_i, x_j));   next = argmax_j f(S + j) - f(S)

    dense       all cosines in memory, 4 n^2 bytes; refused above `max_bytes`
    neighbours  cos(x_i, x_j) only where j is among the `neighbours` nearest rows of i, else 0; 12 m n bytes
    recomputed  the same f and order as dense, with memory in n d; each evaluation costs 2 n d
    auto        dense up to 20 000 rows, above that neighbours; the card's notes say which

    At every prefix f is at least 1 - 1/e of the best for as many rows (of its own, truncated f for neighbours).

    Source:  Wei, Iyer & Bilmes 2015, ICML; the guarantee Nemhauser, Wolsey & Fisher 1978; lazily Minoux 1978.
    Differs: stops at the first row that does not fit, so under uneven prices the guarantee is for the rows' number.
    Cost:    2 n^2 d FLOPs, then at most n^2 a choice (dense) or 2 n^2 d (recomputed), lazily far less.
    """

    similarity: Annotated[Similarity, "what is held of the cosines"] = "auto"
    neighbours: Annotated[int, "nearest rows kept of each row, itself among them"] = 64
    max_bytes: Annotated[int, "most memory for kept cosines"] = 2 << 30

    needs: ClassVar[tuple[Kind, ...]] = ("feature",)
    gain_is: ClassVar[str] = "rise in summed nearness of all rows"

    def cost(self, load: Load) -> Cost:
        """All cosines once, and what the greedy reads at most where they are kept."""
        greedy = float(load.n) * load.k * (load.n if self._held(load.n) == "dense" else self.neighbours)
        return Cost(flops=2.0 * load.n * load.n * load.d + greedy)

    def choose(
        self, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """Greedy choices until one does not fit.

        Raises:
            KindError: the cosines to be kept need more than `max_bytes`; the message says what fits.
        """
        if price.min() > budget * (1 + 1e-12):
            return Subset(np.empty(0, dtype=np.int64), np.empty(0))
        held = self._held(len(feature))
        self._check(held, len(feature), 8 if feature.dtype == np.float64 else 4)
        unit, notes = unit_rows(feature)
        index, gain = lazy_greedy(self._coverage(held, unit), price=price, budget=budget)
        said = {
            "dense": f"cosines of all pairs, kept: {GUARANTEE}",
            "recomputed": f"cosines of all pairs, recomputed: {GUARANTEE}",
            "neighbours": f"cosines to each row's {min(self.neighbours, len(unit))} nearest rows only, all others "
            f"count as 0: of that sum {GUARANTEE}",
        }
        return Subset(index, gain, notes=(said[held], *notes))

    def _held(self, n: int) -> Literal["dense", "neighbours", "recomputed"]:
        if self.similarity != "auto":
            return self.similarity
        return "dense" if n <= MANY else "neighbours"

    def _coverage(self, held: str, unit: Float[np.ndarray, "n d"]) -> Coverage:
        if held == "dense":
            return Dense(unit)
        return Recomputed(unit) if held == "recomputed" else Nearest(unit, self.neighbours)

    def _check(self, held: str, n: int, width: int) -> None:
        m = min(self.neighbours, n)
        if m < 1:
            raise KindError(f"facility_location: neighbours {self.neighbours} is not at least 1.")
        need = {"dense": width * n * n, "neighbours": 3 * width * m * n, "recomputed": 0}
        if need[held] <= self.max_bytes:
            return
        ways = ["similarity=recomputed (the same choice, slower)"]
        if need["neighbours"] <= self.max_bytes:
            ways.insert(0, "similarity=neighbours (each row's nearest rows only)")
        raise KindError(
            f"facility_location: {held} cosines of {n:,} rows take {need[held] / 2**20:,.0f} MiB, more than max_bytes "
            f"({self.max_bytes / 2**20:,.0f} MiB). Set {', or '.join(ways)}, or max_bytes={need[held]}."
        )
