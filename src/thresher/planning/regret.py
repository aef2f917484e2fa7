"""The planner on tables that are already there: what its choices would have cost against the best in hindsight.

For one panel and one budget every policy takes an arm that the budget pays for, selection included:

    planner      the arm it expects most of, from other panels alone; of this one it knows prices and model size
    always-M     the largest run of method M; the largest of random where the budget pays for none of M
    oracle       the best score of all

    regret = oracle's score - the policy's score, so that 0 is best whatever the metric's direction
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thresher.errors import ResultsError
from thresher.planning.arms import Arm, arms
from thresher.planning.lines import PLAIN, shares
from thresher.planning.prior import Prior
from thresher.planning.results import Panel

PLANNER = "planner"


@dataclass(frozen=True)
class Choice:
    """What the planner took at one budget of one panel, and every policy's regret there."""

    panel: Panel
    budget: float
    method: str
    scorer: str
    fraction: float
    best: Arm
    regret: Mapping[str, float]


def budgets(found: Sequence[Arm], many: int = 10) -> list[float]:
    """Spread evenly in log from the cheapest run to the dearest."""
    costs = [arm.total_flops for arm in found]
    return [float(x) for x in np.geomspace(min(costs), max(costs), many)]


def replay(panel: Panel, prior: Prior, policies: Sequence[str] = (PLAIN,), many: int = 10) -> list[Choice]:
    """Every budget of one panel.

    Raises:
        ResultsError: the panel has no run of random rows to compare with.
    """
    found = [arm for arm in arms(panel) if not arm.untrained]
    if not any(arm.method == PLAIN for arm in found):
        raise ResultsError(f"{panel.task}, {panel.model}: the table has no run of {PLAIN!r} rows to compare with.")
    share = dict(zip(map(id, found), shares(found, panel.full_flops), strict=True))
    return [_at(panel, prior, found, share, budget, policies) for budget in budgets(found, many)]


def leave_one_out(panels: Sequence[Panel], policies: Sequence[str], many: int = 10) -> list[Choice]:
    """Every panel planned from all the others.

    Raises:
        ResultsError: fewer than two panels.
    """
    if len(panels) < 2:
        raise ResultsError(f"the planner is replayed on one panel from the others, and there is {len(panels)}.")
    return [
        choice for panel in panels
        for choice in replay(panel, Prior.of(other for other in panels if other is not panel), policies, many)
    ]  # fmt: skip


def _at(
    panel: Panel, prior: Prior, found: Sequence[Arm], share: Mapping[int, float | None], budget: float,
    policies: Sequence[str],
) -> Choice:  # fmt: skip
    sign = 1.0 if panel.higher else -1.0
    within = [arm for arm in found if arm.total_flops <= budget * (1 + 1e-9)]
    best = max(within, key=lambda arm: sign * arm.score)

    def expected(arm: Arm) -> float:
        run, fraction = arm.runs[0], share[id(arm)] or 0.0
        guess = prior.guess(
            arm.method, fraction, model_params=run.model_params, scorer_params=run.scorer_params
        )
        return round(guess.mean, 9)

    taken = max(within, key=lambda arm: (expected(arm), -arm.total_flops))
    regret = {PLANNER: sign * (best.score - taken.score)}
    for name in policies:
        own = [arm for arm in within if arm.method == name] or [arm for arm in within if arm.method == PLAIN]
        largest = max(own, key=lambda arm: arm.training_flops, default=None)
        worst = min(within, key=lambda arm: sign * arm.score)
        regret[f"always-{name}"] = sign * (best.score - (largest or worst).score)
    return Choice(panel, budget, taken.method, taken.scorer, share[id(taken)] or 0.0, best, regret)


@dataclass(frozen=True)
class Summary:
    """One policy over many choices: mean regret in points, and as a share of (best minus always-random)."""

    policy: str
    points: float
    share: float | None


def summary(choices: Sequence[Choice]) -> list[Summary]:
    """Every policy, least regret first."""
    mean = {name: float(np.mean([c.regret[name] for c in choices])) for name in choices[0].regret}
    plain = mean.get(f"always-{PLAIN}", 0.0)
    found = [Summary(name, points, points / plain if plain > 0 else None) for name, points in mean.items()]
    return sorted(found, key=lambda one: one.points)
