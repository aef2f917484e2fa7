"""What can be bought: ways to choose, at every size, with what each takes from a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from thresher.compute.cost_model import CostModel
from thresher.core.budget import Budget
from thresher.core.cost import Cost

FULL, NOTHING = "full", "zero-shot"
_STEPS_A_DECADE = 16
_SMALLEST = 0.0025  # share of the pool


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One way to choose: a method with its scorer.

    Attributes:
        pool_flops: reading the pool, which every job that shares it pays once together.
        job_flops: the target's side, and choosing itself.
        pool_cpu_seconds, job_cpu_seconds: the same, of work on the processor alone.
        problem: why it cannot be used here, in words; such an offer is shown and never taken.
    """

    method: str
    scorer: str = ""
    scorer_params: float | None = None
    pool_flops: float = 0.0
    job_flops: float = 0.0
    pool_cpu_seconds: float = 0.0
    job_cpu_seconds: float = 0.0
    problem: str = ""

    def selection(self, shared_by: int) -> Cost:
        """What choosing costs one of the jobs that share the pool's side."""
        return Cost(
            flops=self.pool_flops / shared_by + self.job_flops,
            cpu_seconds=self.pool_cpu_seconds / shared_by + self.job_cpu_seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """The model and the pool that are planned for.

    Attributes:
        training: rows -> (tokens, FLOPs) of training on that many rows of mean length.
        n: rows that can be chosen.
    """

    n: int
    training: Callable[[int], tuple[int, float]]
    model_params: float | None = None
    task: str = ""
    model: str = ""
    pool: str = ""

    @property
    def full_flops(self) -> float:
        """Training on everything."""
        return self.training(self.n)[1]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An offer at a size, priced."""

    method: str
    scorer: str
    scorer_params: float | None
    rows: int
    fraction: float
    tokens: int
    selection: Cost
    training: Cost

    @property
    def selection_flops(self) -> float:
        """Of one job."""
        return self.selection.flops

    @property
    def training_flops(self) -> float:
        """Of one model."""
        return self.training.flops

    @property
    def total_flops(self) -> float:
        """Both."""
        return self.selection.flops + self.training.flops

    @property
    def size(self) -> str:
        """Rows and share, in words."""
        return f"{self.rows:,} rows ({100 * self.fraction:.3g} %)"

    @property
    def name(self) -> str:
        """Method, and scorer where there is one."""
        return f"{self.method} ({self.scorer})" if self.scorer else self.method

    def takes(self, budget: Budget, prices: CostModel) -> float:
        """What it takes from a budget, in its unit; rows and tokens pay for training alone."""
        if budget.unit == "examples":
            return float(self.rows)
        if budget.unit == "tokens":
            return float(self.tokens)
        return prices.in_unit(self.selection, budget.unit) + prices.in_unit(self.training, budget.unit, "train")

    def fits(self, budget: Budget, prices: CostModel) -> bool:
        """Whether the budget pays for it."""
        return self.takes(budget, prices) <= budget.amount * (1 + 1e-9)


def sizes(n: int) -> list[int]:
    """Rows that are considered: sixteen a decade, from 0.25 % of the pool to just under all of it.

    The same for every budget: what a larger budget or a shared bill makes affordable is added to what was, so neither
    can make a plan worse.
    """
    found = {round(n * 10 ** (-step / _STEPS_A_DECADE)) for step in range(1, 1 + int(2.7 * _STEPS_A_DECADE))}
    return sorted(rows for rows in found if max(1.0, _SMALLEST * n) <= rows < n) or [max(1, n - 1)]


def candidate(offer: Offer, job: Job, rows: int, shared_by: int = 1) -> Candidate:
    """One offer at one size."""
    tokens, flops = job.training(rows)
    return Candidate(
        method=offer.method, scorer=offer.scorer, scorer_params=offer.scorer_params, rows=rows, fraction=rows / job.n,
        tokens=tokens, selection=offer.selection(shared_by), training=Cost(flops=flops),
    )  # fmt: skip


def candidates(offers: Sequence[Offer], job: Job, shared_by: int = 1, also: Sequence[int] = ()) -> Iterator[Candidate]:
    """Every offer at every size, and training on all of the pool."""
    rows = sorted({*sizes(job.n), *(k for k in also if 0 < k < job.n)})
    for offer in offers:
        if not offer.problem:
            yield from (candidate(offer, job, k, shared_by) for k in rows)
    yield candidate(Offer(method=FULL), job, job.n)


def largest(one: Candidate, offer: Offer, job: Job, budget: Budget, prices: CostModel, shared_by: int) -> Candidate:
    """The same offer with as many rows as the budget pays for."""
    low, high = one.rows, job.n - 1
    while low < high:
        middle = (low + high + 1) // 2
        fits = candidate(offer, job, middle, shared_by).fits(budget, prices)
        low, high = (middle, high) if fits else (low, middle - 1)
    return candidate(offer, job, low, shared_by) if low > one.rows else one


def bigger(job: Job, times: float) -> Job:
    """The same pool for a model that costs so many times more to train."""
    params = None if job.model_params is None else job.model_params * times

    def training(rows: int) -> tuple[int, float]:
        tokens, flops = job.training(rows)
        return tokens, flops * times

    return replace(job, training=training, model_params=params)
