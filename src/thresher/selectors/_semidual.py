"""Transport between rows and targets whose affinities are there already, in numpy, a block of rows at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from thresher.core.method import Affinity
from thresher.core.potential import Climb, Sums, check_numbers, climb, require_converged
from thresher.errors import FieldError

BLOCK = 1 << 20  # numbers of an affinity at a time


@dataclass(frozen=True)
class Problem:
    """How the cost is made from an affinity, and how it is solved."""

    epsilon: float
    absolute: bool
    rho: float | None
    scale: float
    tolerance: float
    max_sweeps: int
    omega: float
    allow_unconverged: bool

    def __post_init__(self) -> None:
        """Numbers must be possible."""
        check_numbers(
            epsilon=self.epsilon, tolerance=self.tolerance, rho=self.rho, scale=self.scale, omega=self.omega,
            max_sweeps=self.max_sweeps,
        )  # fmt: skip

    def absolutely(self, affinity: Affinity) -> Climb:
        """In units of the cost itself.

        Raises:
            FieldError: the mean cost is no unit.
        """
        unit = 1.0
        if not self.absolute:
            unit = self.scale * (1.0 - float(affinity.mean(dtype=np.float64)))
            if not unit > 1e-12:
                raise FieldError(
                    f"the mean of 1 - affinity is {unit:.3g}, which is no unit for epsilon. Use cosines, or set "
                    "absolute = true and epsilon in units of the affinity."
                )
        return Climb(
            epsilon=self.epsilon * unit, rho=None if self.rho is None else self.rho * unit, tolerance=self.tolerance,
            max_sweeps=self.max_sweeps, omega=self.omega, memory=5,
            slack=1e-12 if affinity.dtype == np.float64 else 1e-6,
        )  # fmt: skip


@dataclass(frozen=True)
class Potentials:
    """Both sides, and how good they are."""

    f: Float[np.ndarray, " q"]
    g: Float[np.ndarray, " n"]
    error: float
    sweeps: int
    how: Climb

    def log_mass(self, weight: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Logarithm of the mass that each row holds."""
        held = np.log(weight)
        return held if self.how.rho is None else held - self.g / self.how.rho

    @property
    def level(self) -> Float[np.ndarray, " n"]:
        """What rows are ranked by, highest first: -g in epsilons, to four digits; the tolerance moves the third."""
        return np.round(-self.g / self.how.slope, 4)

    @property
    def note(self) -> str:
        """For the card."""
        missed = self.error > self.how.tolerance
        said = f", NOT CONVERGED: the tolerance is {self.how.tolerance:g}" if missed else ""
        return f"transport: {self.sweeps} passes, the targets' masses off by {self.error:.2g}{said}"


def solve(
    affinity: Affinity, weight: Float[np.ndarray, " n"], problem: Problem, how: Climb | None = None,
    start: Float[np.ndarray, " q"] | None = None,
) -> Potentials:  # fmt: skip
    """Targets weigh alike; C = scale (1 - affinity).

    Args:
        affinity: (n, q), may lie on disk.
        weight: (n,) masses of the rows, sum one.
        problem: cost and limits.
        how: `problem.absolutely(affinity)`, where that is known.
        start: (q,) a first guess of f.

    Raises:
        Unconverged: the tolerance was not met within the passes allowed.
    """  # noqa: DOC502
    how = how or problem.absolutely(affinity)
    q = affinity.shape[1]
    log_sums = np.empty(len(affinity))
    trace: list[float] = []

    def one_pass(f: np.ndarray) -> Sums:
        return _pass(affinity, weight, f, problem.scale, how, log_sums)

    point = climb(one_pass, np.full(q, 1.0 / q), np.zeros(q) if start is None else start, how, trace)
    if not problem.allow_unconverged:
        unit = "" if problem.absolute else " of the mean cost"
        require_converged(point.error, len(trace), tolerance=how.tolerance, epsilon=f"{problem.epsilon:g}{unit}")
    return Potentials(point.f, -how.slope * (log_sums + point.raised), point.error, len(trace), how)


def _pass(
    affinity: Affinity, weight: np.ndarray, f: np.ndarray, scale: float, how: Climb, log_sums: np.ndarray
) -> Sums:
    n, q = affinity.shape
    dtype = np.float64 if affinity.dtype == np.float64 else np.float32
    bias = ((f - scale) / how.epsilon - np.log(q)).astype(dtype)  # (q,)
    sums = Sums.none(q)
    for start in range(0, n, max(1, BLOCK // q)):
        rows = slice(start, min(start + max(1, BLOCK // q), n))
        kernel = affinity[rows].astype(dtype) * dtype(scale / how.epsilon) + bias  # (b, q) ln mu_z + (f_z - C_jz) / eps
        top = kernel.max(axis=1)
        kernel -= top[:, None]
        np.exp(kernel, out=kernel)
        across = kernel.sum(axis=1, dtype=np.float64)  # (b,)
        log_sums[rows] = np.log(across) + top
        log_mass = np.log(weight[rows]) + how.tilt * log_sums[rows]
        highest = float(log_mass.max())
        mass = np.exp(log_mass - highest)
        received = (mass / across) @ kernel.astype(np.float64, copy=False)
        sums = sums.plus(Sums(received, float(mass.sum()), float(weight[rows] @ log_sums[rows]), highest))
    return sums
