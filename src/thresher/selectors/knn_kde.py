"""Rows near many targets, each target spread over its neighbours by their rarity, so that copies share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Feature, Kind, Selector, Subset
from thresher.selectors._ranking import affordable, longest_prefix
from thresher.selectors._unit import unit_rows
from thresher.selectors.knn_uniform import by_mass, distances, nearest

BLOCK = 1024


@dataclass(frozen=True, kw_only=True)
class KnnKde(Selector):
    """As `knn_uniform`, but a row of density rho can hold no more than 1/rho of what a lone row holds.

        rho_j = sum over the nearest rows l, j itself among them, of max(0, 1 - 2 (1 - cos(x_j, x_l)) / sigma^2)
        level s: target z holds its first rows with sum 1/rho <= s, at cost_z = dist_next sum 1/rho - sum dist/rho;
        s grows until (alpha / C) sum_z cost_z >= (1 - alpha) q;   mass_j = sum over z holding j of 1/(q s rho_j);
        what is left of each target's 1/q goes to its next row

    Source:  Liu, Karbasi & Rekatsinas 2024 (TSDS-KDE), arXiv:2410.11303; as a ranking Nayak et al. 2026,
             arXiv:2602.14696.
    Differs: order as in `knn_uniform`. The code of 2410.11303 draws with replacement from the mass (`sampled`; a draw
             counts as weight, and no more are made than the price of the whole pool pays for). An affinity's nearest
             rows are searched exactly.
    Cost:    2 u^2 d FLOPs, u <= prefetch q rows that are near some target.
    """

    alpha: Annotated[float, "towards 1 the nearest row only, towards 0 spread wide"] = 0.01
    C: Annotated[float, "scale of distances: they are divided by it"] = 5.0
    sigma: Annotated[float, "reach of the density kernel, a Euclidean distance of unit rows"] = 0.75
    prefetch: Annotated[int, "nearest rows looked at per target, at most a tenth of the pool"] = 5000
    neighbours: Annotated[int, "rows a density is summed over"] = 1000
    sampled: Annotated[bool, "draw with replacement from the mass, else rank by it"] = False

    needs: ClassVar[tuple[Kind, ...]] = ("affinity", "feature")
    gain_is: ClassVar[str] = "share of the targets' mass"

    def cost(self, load: Load) -> Cost:
        """All densities, if no two targets share a neighbour."""
        near = min(load.n, load.q * max(1, min(self.prefetch, load.n // 10)))
        return Cost(flops=2.0 * near * near * load.d)

    def choose(
        self, affinity: Affinity, feature: Feature, *, price: Float[np.ndarray, " n"], budget: float,
        rng: np.random.Generator,
    ) -> Subset:  # fmt: skip
        """The longest affordable prefix by mass, or as many draws as the budget pays for."""
        n, q = affinity.shape
        near = nearest(affinity, max(1, min(self.prefetch, n // 10)))  # (q, l)
        union, place = np.unique(near, return_inverse=True)  # (u,)
        unit, notes = unit_rows(feature[union])
        rarity = 1.0 / density(unit, self.sigma, self.neighbours)  # (u,)
        shares = self._shares(distances(affinity, near), rarity[place.reshape(near.shape)])
        mass = np.bincount(near.ravel(), weights=shares.ravel() / q, minlength=n)  # (q, l) -> (n,)
        notes += (f"{np.count_nonzero(mass)} rows have mass",)
        order, column = by_mass(mass, affinity)
        if self.sampled:
            return drawn(mass, column, price=price, budget=budget, rng=rng, notes=notes)
        chosen = longest_prefix(order, mass, price=price, budget=budget, column=column)
        return Subset(chosen.index, chosen.gain, column=chosen.column, notes=notes)

    def _shares(self, dist: Float[np.ndarray, "q l"], rarity: Float[np.ndarray, "q l"]) -> Float[np.ndarray, "q l"]:
        """How each target's mass of 1 lies on its neighbours."""
        shares = np.zeros_like(dist)
        if dist.shape[1] == 1:
            shares[:] = 1.0
            return shares
        filled = np.cumsum(rarity, axis=1)[:, :-1]  # (q, l-1) level at which a row is held whole
        rise = (dist[:, 1:] - dist[:, :-1]) * filled  # what its being held adds to cost_z
        order = np.argsort(filled, axis=None, kind="stable")
        dear = self.alpha / self.C * np.cumsum(rise.ravel()[order]) >= (1 - self.alpha) * len(dist)
        level = filled.ravel()[order[int(dear.argmax()) if dear.any() else -1]]
        held = filled <= level  # (q, l-1)
        shares[:, :-1][held] = rarity[:, :-1][held] / level
        count = held.sum(axis=1)  # (q,) rows held, so also the place of the next one
        shares[np.arange(len(dist)), count] = np.maximum(1.0 - shares.sum(axis=1), 0.0)
        return shares


def density(unit: Float[np.ndarray, "u d"], sigma: float, neighbours: int) -> Float[np.ndarray, " u"]:
    """Kernel sums over each row's nearest rows, itself included: 1 for a row with none within sigma."""
    rho = np.empty(len(unit))
    for start in range(0, len(unit), BLOCK):
        cosine = np.minimum(unit[start : start + BLOCK] @ unit.T, 1.0)  # (b, d) @ (d, u) -> (b, u)
        own = np.arange(len(cosine))
        cosine[own, own + start] = 1.0
        kernel = np.maximum(1.0 - 2.0 * (1.0 - cosine) / sigma**2, 0.0)
        if neighbours < len(unit):
            kernel = np.partition(kernel, len(unit) - neighbours, axis=1)[:, len(unit) - neighbours :]
        rho[start : start + BLOCK] = kernel.sum(axis=1, dtype=np.float64)
    return rho


def drawn(
    mass: Float[np.ndarray, " n"], column: Int[np.ndarray, " n"], *, price: Float[np.ndarray, " n"], budget: float,
    rng: np.random.Generator, notes: tuple[str, ...],
) -> Subset:  # fmt: skip
    """Draws with replacement until one does not fit: rows in the order of their first draw, and how often."""
    rows = np.flatnonzero(mass)
    limit = min(budget, float(price.sum()))
    ladder = np.cumsum(mass[rows])
    most = int(limit / price[rows].min()) + 1
    picks = rows[np.minimum(np.searchsorted(ladder, rng.random(most) * ladder[-1], side="right"), len(rows) - 1)]
    picks = picks[: affordable(picks, price=price, budget=limit)]
    index, first, count = np.unique(picks, return_index=True, return_counts=True)
    order = np.argsort(first)
    index = index[order]
    return Subset(index, mass[index], weight=count[order].astype(np.float64), column=column[index], notes=notes)
