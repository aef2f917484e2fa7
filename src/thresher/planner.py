"""A setting and its history -> plans: what the planner needs to know of pools, models, methods and prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from thresher.core.budget import Budget
from thresher.core.cost import Cost
from thresher.errors import BudgetError, ModelError
from thresher.evidence import evidence
from thresher.planning.plan import Ask, Plan, plan
from thresher.planning.prediction import Predictor
from thresher.planning.results import Results
from thresher.setting import Setting
from thresher.tariff import cost_model, job_of, offers

if TYPE_CHECKING:
    from thresher.pilot import Pilot

USUAL_SHARES = (0.03, 0.1, 0.3)  # of the compute of a full run


def plans(
    setting: Setting, budgets: Sequence[str], *, scorers: Sequence[str] = (), names: Sequence[str] = (),
    history: Results | None = None, task: str | None = None, shared_by: int = 1,
    pilot: Pilot | None = None,
) -> list[Plan]:  # fmt: skip
    """One plan a budget.

    Args:
        setting: pool, target and the model to be trained.
        budgets: as the user writes them, of one job; none means 3, 10 and 30 % of a full run's compute.
        scorers: models that may read the pool; none means the setting's.
        names: methods; none means the usual ones.
        history: earlier results, of this job or of others.
        task: which of the history's tasks is meant, where it has several of this job.
        shared_by: jobs that share one reading of the pool.
        pilot: what it saw; what it spent is gone from each budget.

    Raises:
        ModelError: no model to be trained was named.
        BudgetError: a budget below the cheapest candidate, or one that cannot be counted.
        ResultsError: the history has several tasks of this job, or none called `task`.
    """
    if setting.model is None:
        raise ModelError("a plan is priced for the model that is to be trained. Name it with --model.")
    if shared_by < 1:
        raise BudgetError(f"one reading of the pool serves at least one job, not {shared_by} (--shared-by).")
    job = job_of(setting, task or "")
    asked = [Budget.parse(text, len(setting.pool)) for text in budgets]
    asked = asked or [Budget(share * job.full_flops, "flops") for share in USUAL_SHARES]
    if setting.recipe.steps is not None and any(budget.pays_for_selection for budget in asked):
        raise BudgetError(
            "the recipe trains for as many steps whatever the rows, so such a budget cannot say how many to take. "
            "Give budgets in rows or tokens, or epochs in the recipe."
        )
    prior, panel, notes = evidence(setting, job, history, task)
    if pilot is not None:
        prior, panel, notes = prior + pilot.prior, panel or pilot.own, [*notes, pilot.note]
    spent = 0.0 if pilot is None else pilot.flops
    predictor = Predictor.of(prior, job, panel)
    predictor = replace(predictor, notes=(*notes, *predictor.notes))
    priced = offers(setting, scorers, names)
    prices = cost_model(setting, any(budget.unit == "usd" for budget in asked))
    return [
        plan(Ask(job=job, offers=priced, budget=budget, prices=prices, shared_by=shared_by,
                 spent=prices.in_unit(Cost(flops=spent), budget.unit, "train")), predictor)
        for budget in asked
    ]  # fmt: skip
