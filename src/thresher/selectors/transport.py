"""Rows whose mass would grow if the pool were to become like the target at a price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Kind, Selector, Subset
from thresher.selectors._ranking import longest_prefix, ranked
from thresher.selectors._semidual import Problem, solve

PASSES = 0.5  # guessed from epsilon, for the price


@dataclass(frozen=True, kw_only=True)
class Transport(Selector):
    """By the mass a row holds in an entropic transport plan onto the targets, where changing it costs rho KL.

        C_iz = scale (1 - affinity_iz)        mass_i = exp(-g_i / rho) / n
        g_i = -rho / (rho + eps) eps ln sum_z exp((f_z - C_iz) / eps) / q;    f: every target receives 1 / q

    rho to infinity orders like GOT-D; rho to 0 is a soft nearest-neighbour vote, sum_z softmax_i(-C_iz / eps) / q.

    Source:  Nayak et al. 2026, arXiv:2602.14696 (`uot`: scale 0.5, epsilon 0.01 and rho 1e-4, absolute).
    Differs: one potential over the targets and no plan of size n q; stopped by the targets' masses.
    Cost:    v passes over the affinity, 4 n q each; v grows like 1 / eps.
    """

    epsilon: Annotated[float, "entropic weight, in units of the mean cost unless absolute"] = 0.03
    rho: Annotated[float | None, "price of changing the rows' masses, in the same unit; None is without end"] = 1.0
    absolute: Annotated[bool, "epsilon and rho are in units of the cost itself"] = False
    scale: Annotated[float, "of the cost"] = 1.0
    tolerance: Annotated[float, "summed error of the targets' masses"] = 1e-2
    max_sweeps: Annotated[int, "passes at most"] = 2000
    omega: Annotated[float, "length of a step, 1 to 2"] = 1.5
    allow_unconverged: Annotated[bool, "take a plan that missed the tolerance; the card says so"] = False

    needs: ClassVar[tuple[Kind, ...]] = ("affinity",)
    gain_is: ClassVar[str] = "mass in the transport plan, in units of a row's own"

    def __post_init__(self) -> None:
        """Numbers must be possible."""
        self._problem()

    def cost(self, load: Load) -> Cost:
        """Passes over the affinity."""
        return Cost(flops=4.0 * load.n * load.q * PASSES / self.epsilon)

    def choose(
        self, affinity: Affinity, *, price: Float[np.ndarray, " n"], budget: float, rng: np.random.Generator
    ) -> Subset:
        """The longest affordable prefix by mass; without rho by -g."""
        n = len(affinity)
        found = solve(affinity, np.full(n, 1.0 / n), self._problem())
        mass = np.exp(found.log_mass(np.ones(n))) if self.rho is not None else -found.g
        chosen = longest_prefix(ranked(found.level, highest=True), mass, price=price, budget=budget)
        return Subset(chosen.index, chosen.gain, notes=(found.note,))

    def _problem(self) -> Problem:
        return Problem(
            epsilon=self.epsilon, absolute=self.absolute, rho=self.rho, scale=self.scale, tolerance=self.tolerance,
            max_sweeps=self.max_sweeps, omega=self.omega, allow_unconverged=self.allow_unconverged,
        )  # fmt: skip
