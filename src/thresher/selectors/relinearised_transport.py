"""The transport gradient taken again after every part of the choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Affinity, Kind, Label, Selector, Subset
from thresher.errors import FieldError
from thresher.selectors._ranking import affordable, ranked
from thresher.selectors._semidual import Problem, solve

PASSES = 0.5  # guessed from epsilon, for the price


@dataclass(frozen=True, kw_only=True)
class RelinearisedTransport(Selector):
    """Rounds; in each the rows whose mass lowers the transport cost of the mixture so far fastest.

        after round r:  w = share r / rounds,    nu_i = (1 - w) / n + w / |S_r| for i in S_r
        next rows:      lowest g_i under nu, S_r and its copies left out, for budget / rounds
        g_i = -eps ln sum_z exp((f_z - C_iz) / eps) / q,    C_iz = 1 - affinity_iz

    Rows with one label are copies: each has its mass, and one of them can be chosen.

    Source:  ours, after Kang et al. 2024, arXiv:2405.02774, whose gradient is taken once: right for light training.
    Differs: nothing known.
    Cost:    v passes over the affinity in each round, 4 n q each; v grows like 1 / eps.
    """

    share: Annotated[float, "of the chosen rows in the mixture trained on: lambda, above 0 to 1"] = 0.3
    rounds: Annotated[int, "in which the choice is made"] = 10
    epsilon: Annotated[float, "entropic weight, in units of the mean cost unless absolute"] = 0.03
    absolute: Annotated[bool, "epsilon is in units of the cost itself"] = False
    tolerance: Annotated[float, "summed error of the targets' masses"] = 1e-2
    max_sweeps: Annotated[int, "passes a round at most"] = 2000
    omega: Annotated[float, "length of a step, 1 to 2"] = 1.5
    allow_unconverged: Annotated[bool, "take plans that missed the tolerance; the card says so"] = False

    needs: ClassVar[tuple[Kind, ...]] = ("affinity", "label")
    nested: ClassVar[bool] = False
    gain_is: ClassVar[str] = "fall of the transport cost per mass added"

    def __post_init__(self) -> None:
        """Numbers must be possible.

        Raises:
            FieldError: one is not.
        """
        if not 0 < self.share <= 1:
            raise FieldError(
                "share (lambda), that of the chosen rows in what is trained on, lies above 0 and at most at 1, and is "
                f"{self.share}."
            )
        if self.rounds < 1:
            raise FieldError(f"rounds must be at least 1, and is {self.rounds}.")
        self._problem()

    def cost(self, load: Load) -> Cost:
        """Passes over the affinity in every round."""
        return Cost(flops=self.rounds * 4.0 * load.n * load.q * PASSES / self.epsilon)

    def choose(
        self, affinity: Affinity, label: Label, *, price: Float[np.ndarray, " n"], budget: float,
        rng: np.random.Generator,
    ) -> Subset:  # fmt: skip
        """Round after round, until a row does not fit or none is left."""
        n, problem = len(affinity), self._problem()
        how, start = problem.absolutely(affinity), None
        index, gain, notes = np.empty(0, dtype=np.int64), np.empty(0), []
        _, copy = np.unique(label, return_inverse=True)  # (n,)
        for done in range(self.rounds):
            weight = np.full(n, 1.0 / n)
            if len(index):
                weight *= 1 - self.share * done / self.rounds
                weight[index] += self.share * done / self.rounds / len(index)
            found = solve(affinity, weight, problem, how, start)
            start = found.f
            notes.append(found)
            order = ranked(found.level, highest=True)
            order = order[~np.isin(copy[order], copy[index])]
            _, first = np.unique(copy[order], return_index=True)  # of every set of copies the best
            order = order[np.sort(first)]
            left = budget * (done + 1) / self.rounds - float(price[index].sum())
            rows = order[: affordable(order, price=price, budget=max(left, 0.0))]
            index = np.concatenate([index, rows])
            gain = np.concatenate([gain, weight @ found.g - found.g[rows]])
        worst = max(notes, key=lambda found: found.error)
        return Subset(index, gain, notes=(f"{sum(f.sweeps for f in notes)} passes; the worst round's {worst.note}",))

    def _problem(self) -> Problem:
        return Problem(
            epsilon=self.epsilon, absolute=self.absolute, rho=None, scale=1.0, tolerance=self.tolerance,
            max_sweeps=self.max_sweeps, omega=self.omega, allow_unconverged=self.allow_unconverged,
        )  # fmt: skip
