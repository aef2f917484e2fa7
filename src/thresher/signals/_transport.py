"""Entropic transport between rows and a target, by its one potential on the target's side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float

from thresher.core.potential import Climb, Point, Sums, check_numbers, climb, require_converged
from thresher.errors import NonFinite, PoolError
from thresher.signals._sweeps import Fused, Ground, Kept, Precision, Problem, Source, sweep


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a transport problem is solved."""

    epsilon: Annotated[float, "entropic weight"] = 0.03
    relative: Annotated[bool, "epsilon and rho in units of the mean cost"] = True
    rho: Annotated[float | None, "price of a change of the rows' masses; None forbids it"] = None
    ground: Annotated[Ground, "cost of a pair"] = "sqeuclidean"
    tolerance: Annotated[float, "summed error of the target's masses at which to stop"] = 1e-2
    max_sweeps: Annotated[int, "passes over the rows"] = 2000
    omega: Annotated[float, "length of a step; above 1 over-relaxed"] = 1.5
    memory: Annotated[int, "steps that the next one is foretold from (Anderson's mixing)"] = 5
    precision: Annotated[Precision, "of products; bfloat16 is polished in float32"] = "float32"
    device: Annotated[str, "auto is a CUDA card, else the processor"] = "auto"
    block_bytes: Annotated[float, "of the largest array at work"] = 8e6
    kernel_bytes: Annotated[float, "a kernel up to this size is kept, a larger one made anew in each pass"] = 1e9

    def __post_init__(self) -> None:
        """Numbers must be possible."""
        check_numbers(
            epsilon=self.epsilon, tolerance=self.tolerance, rho=self.rho, omega=self.omega, max_sweeps=self.max_sweeps
        )


@dataclass(frozen=True)
class Solution:
    """The potential, and how good it is."""

    f: Float[np.ndarray, " q"]
    target: np.ndarray  # (q, d)
    weight: Float[np.ndarray, " q"]  # of the target rows, sum 1
    settings: Settings
    how: Climb  # epsilon and rho in absolute units
    mean_cost: float
    error: float  # sum_z |m_z - mu_z|
    sweeps: int
    converged: bool
    trace: tuple[float, ...]  # the error, sweep by sweep
    distance: float  # the dual value: the regularised transport cost
    form: str  # kept or fused
    g: Float[np.ndarray, " n"]  # of the rows it was fitted on, mean 0
    centre: float  # the mean that was taken from g

    def require(self) -> None:
        """Pass, if the tolerance was met; else Unconverged, with what was reached and what to change."""
        unit = " of the mean cost" if self.settings.relative else ""
        require_converged(
            self.error, self.sweeps, tolerance=self.settings.tolerance, epsilon=f"{self.settings.epsilon:g}{unit}"
        )

    def account(self) -> dict[str, Any]:
        """For the card."""
        return {
            "epsilon": self.how.epsilon, "rho": self.how.rho, "mean_cost": self.mean_cost, "distance": self.distance,
            "marginal_error": self.error, "marginal": "target", "tolerance": self.settings.tolerance,
            "converged": self.converged, "sweeps": self.sweeps, "trace": [float(f"{e:.4g}") for e in self.trace],
            "form": self.form, "precision": self.settings.precision,
        }  # fmt: skip


def solve(
    source: Source | np.ndarray, target: np.ndarray, *, target_weight: np.ndarray | None = None,
    settings: Settings | None = None, start: np.ndarray | None = None, mean_cost: float | None = None,
) -> Solution:  # fmt: skip
    """Fit the target's potential.

    In bfloat16 first, where that is asked for, then in float32, until the tolerance is met.

    Args:
        source: (n, d) rows, or rows with masses.
        target: (q, d).
        target_weight: (q,) in any scale; None is uniform.
        settings: see there.
        start: (q,) a first guess of f, from a sample, say.
        mean_cost: what a relative epsilon is relative to; None: between these rows and the target.

    Returns:
        The last potential that was tried, with its error; `converged` says whether the tolerance was met.

    Raises:
        PoolError: nothing to transport, or no two places to tell apart.
    """
    settings = settings or Settings()
    source = source if isinstance(source, Source) else Source(source)
    mu = Source(target, weight=target_weight).mass()
    if settings.ground == "cosine":
        length = np.linalg.norm(target, axis=1, keepdims=True)
        target = target / np.where(length > 0, length, 1)
    if mean_cost is None:
        mean_cost = mean_of_cost(source, target, mu, settings.ground)
    unit = mean_cost if settings.relative else 1.0
    if not mean_cost > 1e-12:
        raise PoolError("every row lies where the target lies: there is nothing to transport. Are all features equal?")
    how = Climb(
        epsilon=settings.epsilon * unit, rho=None if settings.rho is None else settings.rho * unit,
        tolerance=settings.tolerance, max_sweeps=settings.max_sweeps, omega=settings.omega, memory=settings.memory,
    )  # fmt: skip
    wanted = len(source) * len(mu) * (8 if settings.precision == "float64" else 4)
    form = Kept if wanted <= settings.kernel_bytes else Fused
    trace: list[float] = []
    found, logs = np.zeros(len(mu)) if start is None else np.array(start, np.float64), np.empty(len(source))
    for precision in dict.fromkeys([settings.precision, _ends(settings)]):
        problem = _problem(target, mu, how.epsilon, settings, precision)
        point = _climb(form(problem, source), mu, found, how, trace, logs)
        found = point.f
    return Solution(
        f=point.f, target=target, weight=mu, settings=settings, how=how, mean_cost=mean_cost, error=point.error,
        sweeps=len(trace), converged=point.error <= settings.tolerance, trace=tuple(trace), distance=point.value,
        form=form.__name__.lower(), g=-how.slope * (logs + point.raised - point.log_mean),
        centre=-how.slope * point.log_mean,
    )  # fmt: skip


def _climb(
    form: Fused | Kept, mu: np.ndarray, f: np.ndarray, how: Climb, trace: list[float], logs: np.ndarray
) -> Point:
    """In one precision; rough products are given up when they bring no more."""
    weight, problem = form.source.mass(), form.problem
    rough = problem.product is torch.bfloat16
    how = replace(how, slack=1e-3 if rough else 1e-12 if problem.working is torch.float64 else 1e-6)
    return climb(lambda f: sweep(form, f, weight, how.tilt, logs), mu, f, how, trace, patience=4 if rough else None)


def mean_of_cost(source: Source, target: np.ndarray, mu: np.ndarray, ground: Ground, block: int = 8192) -> float:
    """Mean cost of a pair, by means of rows and of their squares: no pair is looked at.

    Raises:
        NonFinite: a feature that is not a number.
    """
    nu, n = source.mass(), len(source)
    mean, square = np.zeros(target.shape[1]), 0.0
    for at in range(0, n, block):
        rows, mass = np.asarray(source.rows(at, min(at + block, n)), np.float64), nu[at : at + block]
        if ground == "cosine":
            length = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = rows / np.where(length > 0, length, 1)
        own = (rows**2).sum(1)
        if not np.isfinite(own).all():
            bad = at + np.flatnonzero(~np.isfinite(own))
            raise NonFinite(f"features of {len(bad)} rows or more are not numbers, first rows {bad[:5].tolist()}.")
        mean += mass @ rows
        square += float(mass @ own)
    near = np.asarray(target, np.float64)
    across = float(mean @ (mu @ near))
    if ground == "cosine":
        return 1.0 - across
    return square + float(mu @ (near**2).sum(1)) - 2 * across


def score(rows: np.ndarray, solution: Solution) -> Float[np.ndarray, " b"]:
    """(b,) g of any rows, the fitted ones or others, minus the fitted rows' mean: negative is valuable."""
    problem = problem_of(solution)
    form = Fused(problem, Source(rows))
    form.prepare(solution.f)
    out = np.empty(len(rows))
    for start, stop in problem.blocks(len(rows)):
        kernel, shift = form.block(start, stop)
        out[start:stop] = (kernel.sum(1).double().log() + shift).cpu().numpy()
    return -solution.how.slope * out - solution.centre


def partial(source: Source, solution: Solution, f: np.ndarray | None = None) -> Sums:
    """What these rows alone add to a pass under f: a worker's share, `plus` of all shares is the pass.

    The weights are taken as they are, so that shards keep one scale.
    """
    weight = np.ones(len(source)) if source.weight is None else np.asarray(source.weight, np.float64)
    return sweep(Fused(problem_of(solution), source), solution.f if f is None else f, weight, solution.how.tilt)


def problem_of(solution: Solution, precision: Precision | None = None) -> Problem:
    """The map of rows to logits, in the precision that the solution ended in."""
    settings = solution.settings
    return _problem(solution.target, solution.weight, solution.how.epsilon, settings, precision or _ends(settings))


def _ends(settings: Settings) -> Precision:
    return "float32" if settings.precision == "bfloat16" else settings.precision


def _problem(
    target: np.ndarray, mu: np.ndarray, epsilon: float, settings: Settings, precision: Precision
) -> Problem:
    device = ("cuda" if torch.cuda.is_available() else "cpu") if settings.device == "auto" else settings.device
    return Problem(
        target, mu, epsilon, ground=settings.ground, precision=precision, device=device,
        block_bytes=settings.block_bytes,
    )  # fmt: skip
