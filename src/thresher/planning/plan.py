"""The plan: every candidate priced and predicted, one of them recommended, and what would change that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from thresher.compute.cost_model import CostModel
from thresher.core.budget import Budget
from thresher.core.cost import Cost
from thresher.errors import BudgetError
from thresher.planning.offers import FULL, NOTHING, Candidate, Job, Offer, candidate, candidates, largest
from thresher.planning.prediction import Estimate, Predictor


@dataclass(frozen=True)
class Line:
    """A candidate with what is expected of it."""

    candidate: Candidate
    estimate: Estimate
    affordable: bool


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is asked of a plan.

    Attributes:
        offers: ways to choose; `random` should be among them.
        budget: of one job, selection and training together where its unit pays for both.
        prices: how FLOPs become hours and dollars.
        shared_by: jobs (tasks, models, runs) that share one reading of the pool.
        spent: already gone from the budget, in its unit: a pilot.
    """

    job: Job
    offers: Sequence[Offer]
    budget: Budget
    prices: CostModel
    shared_by: int = 1
    spent: float = 0.0

    @property
    def left(self) -> Budget:
        """What can still be spent."""
        return self.budget.after(self.spent) if self.spent else self.budget

    def offer_of(self, one: Candidate) -> Offer | None:
        """The offer behind a candidate; None for the whole pool."""
        found = (o for o in self.offers if (o.method, o.scorer) == (one.method, one.scorer))
        return next(found, None)


@dataclass(frozen=True)
class Plan:
    """The answer to one question.

    Attributes:
        best: what is recommended; None: do not train.
        lines: every candidate, the recommended one included.
    """

    ask: Ask
    predictor: Predictor
    best: Line | None
    lines: tuple[Line, ...] = field(repr=False, default=())

    @property
    def word(self) -> str:
        """`do not train`, `train on all`, or the method."""
        if self.best is None:
            return "do not train"
        return "train on all" if self.best.candidate.method == FULL else self.best.candidate.name

    def best_of_each(self) -> list[Line]:
        """The best affordable size of every offer (the cheapest size where none is), best first; the whole pool too."""
        groups: dict[tuple[str, str], list[Line]] = {}
        for line in self.lines:
            groups.setdefault((line.candidate.method, line.candidate.scorer), []).append(line)
        found = [_best(self.predictor, [x for x in group if x.affordable]) or group[0] for group in groups.values()]
        return sorted(found, key=lambda x: (not x.affordable, -self.predictor.better(x.estimate)))


def plan(ask: Ask, predictor: Predictor) -> Plan:
    """Price, predict, recommend.

    The highest expected score that the budget pays for; of equals the cheapest. Nothing over budget is ever taken;
    where the untrained model is known to score above everything expected, nothing is.

    Raises:
        BudgetError: the budget does not pay for the cheapest candidate; the message names it.
    """
    left = ask.left
    also = _exact(ask, left)
    lines = [
        Line(one, predictor.estimate(one), one.fits(left, ask.prices))
        for one in candidates(ask.offers, ask.job, ask.shared_by, also)
    ]
    lines += _grown(ask, predictor, lines)
    best = _best(predictor, [line for line in lines if line.affordable])
    if best is None:
        raise BudgetError(_too_small(ask, lines))
    if predictor.zero_shot is not None and not _above(predictor, best, predictor.zero_shot):
        best = None
    return Plan(ask, predictor, best, tuple(lines))


def _best(predictor: Predictor, lines: Sequence[Line]) -> Line | None:
    """Highest expected score; within a billionth of it the cheapest."""
    if not lines:
        return None
    top = max(predictor.better(line.estimate) for line in lines)
    slack = 1e-9 * max(1.0, abs(top))
    equal = [line for line in lines if predictor.better(line.estimate) >= top - slack]
    return min(equal, key=lambda line: (line.candidate.total_flops, line.candidate.rows))


def _exact(ask: Ask, left: Budget) -> list[int]:
    """In rows and tokens every method can take the budget to the last row."""
    if left.unit == "examples":
        return [int(left.amount)]
    if left.unit == "tokens":
        whole = ask.job.training(ask.job.n)[0]
        return [int(ask.job.n * min(1.0, left.amount / max(whole, 1)))]
    return []


def _grown(ask: Ask, predictor: Predictor, lines: Sequence[Line]) -> list[Line]:
    """Every offer with all the rows that the budget pays for, where that is expected to be no worse than fewer."""
    found = []
    for offer in ask.offers:
        own = [line for line in lines if line.affordable and ask.offer_of(line.candidate) is offer]
        best = _best(predictor, own)
        if best is None:
            continue
        more = largest(best.candidate, offer, ask.job, ask.left, ask.prices, ask.shared_by)
        grown = Line(more, predictor.estimate(more), True)
        if more.rows > best.candidate.rows and predictor.better(grown.estimate) >= predictor.better(best.estimate):
            found.append(grown)
    return found


def _above(predictor: Predictor, line: Line, score: float) -> bool:
    return predictor.better(line.estimate) > (score if predictor.higher else -score)


def _too_small(ask: Ask, lines: Sequence[Line]) -> str:
    """What the cheapest candidate would take."""
    cheapest = min(lines, key=lambda line: line.candidate.takes(ask.budget, ask.prices))
    takes = Budget(cheapest.candidate.takes(ask.budget, ask.prices), ask.budget.unit)
    spent = f" ({Budget(ask.spent, ask.budget.unit)} of it went to the pilot)" if ask.spent else ""
    return (
        f"the budget of {ask.budget}{spent} is below the cheapest candidate: {cheapest.candidate.name} on "
        f"{cheapest.candidate.rows:,} rows takes {takes}. Ask for that much or more."
    )


def nothing(job: Job) -> Candidate:
    """The untrained model as a candidate, for tables."""
    return Candidate(
        method=NOTHING, scorer="", scorer_params=None, rows=0, fraction=0.0, tokens=0, selection=Cost(), training=Cost()
    )


def everything(job: Job) -> Candidate:
    """The whole pool as a candidate."""
    return candidate(Offer(method=FULL), job, job.n)
