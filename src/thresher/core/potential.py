"""The one potential of an entropic transport problem, climbed by passes over the rows that somebody else makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from thresher.errors import FieldError, Unconverged

Vector = Float[np.ndarray, " q"]
LEAST = 1e-30  # of a target row's mass over its share: rows that receive nothing rise by 69 epsilon, not without end


@dataclass(frozen=True)
class Sums:
    """What a pass over rows j adds up; of two shards, `plus` is that of both.

    A_jz = ln mu_z + (f_z - C_zj) / eps        L_j = ln sum_z exp A_jz        pi_jz = exp(A_jz - L_j)
    mass_j = nu_j, or with rho nu_j exp(L_j eps / (rho + eps))
    """

    received: Vector  # sum_j mass_j pi_jz, divided by exp(shift)
    total: float  # sum_j mass_j, divided by exp(shift)
    log_mean: float  # sum_j nu_j L_j
    shift: float = 0.0

    @classmethod
    def none(cls, q: int) -> Sums:
        """Of no rows."""
        return cls(np.zeros(q), 0.0, 0.0, -np.inf)

    def plus(self, other: Sums) -> Sums:
        """Both shards together."""
        shift = max(self.shift, other.shift)
        a, b = np.exp(self.shift - shift), np.exp(other.shift - shift)
        received = a * self.received + b * other.received
        total = float(a * self.total + b * other.total)
        return Sums(received, total, self.log_mean + other.log_mean, shift)


def check_numbers(*, omega: float, max_sweeps: int, **positive: float | None) -> None:
    """Whether a transport problem can be solved with these numbers, in whatever unit; None is a term left out.

    Raises:
        FieldError: one of them is not possible.
    """
    for name, value in positive.items():
        if value is not None and not value > 0:
            raise FieldError(f"{name} must be above 0, and is {value}.")
    if not 0 < omega < 2:
        raise FieldError(f"omega must lie between 0 and 2, and is {omega}: beyond, the passes diverge.")
    if max_sweeps < 1:
        raise FieldError(f"max_sweeps must be at least 1, and is {max_sweeps}.")


def require_converged(error: float, passes: int, *, tolerance: float, epsilon: str) -> None:
    """Pass, if the tolerance was met.

    Raises:
        Unconverged: it was not: what was reached, and what to change.
    """
    if error <= tolerance:
        return
    raise Unconverged(
        f"the transport's masses are still off by {error:.3g} after {passes:,} passes, and the tolerance is "
        f"{tolerance:g}: the rows' order cannot be trusted. Take a larger epsilon (now {epsilon}), more passes "
        "(max_sweeps) or a looser tolerance; --allow-unconverged, in a recipe `set: {allow_unconverged: true}`, takes "
        "it as it is, and the card says so."
    )


@dataclass(frozen=True, kw_only=True)
class Climb:
    """How the potential is searched, in absolute units."""

    epsilon: float
    rho: float | None = None  # price of a change of the rows' masses; None forbids it
    tolerance: float = 1e-2
    max_sweeps: int = 2000
    omega: float = 1.5
    memory: int = 0  # steps looked back at (Anderson's mixing)
    slack: float = 1e-12  # a value that falls by less, relatively, is rounding

    @property
    def slope(self) -> float:
        """G = -slope L."""
        return self.epsilon if self.rho is None else self.epsilon * self.rho / (self.rho + self.epsilon)

    @property
    def tilt(self) -> float:
        """Of the logarithm of a row's mass, in L."""
        return 0.0 if self.rho is None else self.epsilon / (self.rho + self.epsilon)


@dataclass(frozen=True)
class Point:
    """A potential that was tried."""

    f: Vector
    received: Vector  # sum 1
    value: float  # of the dual: the regularised transport cost, at the top
    error: float  # sum_z |received_z - mu_z|
    raised: float  # by how much L is to be raised: f was moved so that the total mass is one
    log_mean: float  # mean L, raised


def climb(
    one_pass: Callable[[Vector], Sums], mu: Vector, f: Vector, how: Climb, trace: list[float], *,
    patience: int | None = None,
) -> Point:  # fmt: skip
    """Passes until the target's masses are met within the tolerance, or may not be repeated any more.

        f_z <- f_z - omega eps ln(m_z / mu_z),    m_z = sum_j mass_j pi_jz

    A step that lowers the dual value was too long: it is taken back, made again with omega 1, which never lowers it,
    and omega comes half way down to 1. So over-relaxation cannot diverge.

    Args:
        one_pass: the sums under a potential.
        mu: (q,) masses wanted, sum 1.
        f: (q,) where to start.
        how: see there.
        trace: the errors so far; each pass adds one, and all count against the limit.
        patience: stop also after so many passes without a better error.

    Returns:
        The last potential that was tried.
    """
    omega, good = how.omega, None
    mixing = _Mixing(how.memory)
    while True:
        point = _try(one_pass, mu, f, how)
        trace.append(point.error)
        if not point.error > how.tolerance or len(trace) >= how.max_sweeps or _stuck(trace, patience):
            return point
        if good is not None and point.value < good.value - how.slack * max(how.epsilon, abs(point.value)):
            omega, f, good = 1 + (omega - 1) / 2, _step(good, mu, how, 1.0), None
            mixing.forget()
        else:
            good = point
            f = mixing.next(point.f, _step(point, mu, how, omega))


class _Mixing:
    """The step that the last few steps foretell: a least-squares fit of their residuals (Anderson 1965)."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.forget()

    def forget(self) -> None:
        self.at: list[Vector] = []
        self.residual: list[Vector] = []

    def next(self, f: Vector, stepped: Vector) -> Vector:
        if not self.memory:
            return stepped
        self.at, self.residual = [*self.at, f][-self.memory - 1 :], [*self.residual, stepped - f][-self.memory - 1 :]
        if len(self.at) < 2:
            return stepped
        turns = np.diff(np.array(self.residual), axis=0).T  # (q, m)
        moves = np.diff(np.array(self.at), axis=0).T
        share: Any = np.linalg.lstsq(turns, self.residual[-1], rcond=1e-6)[0]  # (m,), nothing where nothing turned
        mixed: Vector = stepped - (moves + turns) @ share
        return mixed


def _stuck(trace: list[float], patience: int | None) -> bool:
    if patience is None or len(trace) <= patience:
        return False
    return min(trace[-patience:]) >= 0.95 * min(trace[:-patience])


def _step(point: Point, mu: Vector, how: Climb, omega: float) -> Vector:
    f: Vector = point.f - omega * how.epsilon * np.log(np.maximum(point.received / mu, LEAST))
    return f - mu @ f if how.rho is None else f


def _try(one_pass: Callable[[Vector], Sums], mu: Vector, f: Vector, how: Climb) -> Point:
    sums = one_pass(f)
    received = sums.received / sums.total
    error = float(np.abs(received - mu).sum())
    if how.rho is None:
        return Point(f, received, float(mu @ f) - how.epsilon * sums.log_mean, error, 0.0, sums.log_mean)
    up = -(how.rho + how.epsilon) * (float(np.log(sums.total)) + sums.shift)
    raised = up / how.epsilon
    return Point(f + up, received, float(mu @ f) + up, error, raised, sums.log_mean + raised)
