"""A setting and its history -> plans: what the planner needs to know of pools, models, methods and prices."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from thresher import building, methods
from thresher.compute import bill, hardware
from thresher.compute.cost_model import CostModel
from thresher.core.budget import Budget
from thresher.core.cost import Cost, Receipt
from thresher.core.method import Signal
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import BudgetError, ModelError, ResultsError, ThresherError
from thresher.methods import Method
from thresher.models import load
from thresher.planning.offers import Job, Offer
from thresher.planning.plan import Ask, Plan, plan
from thresher.planning.prediction import Predictor
from thresher.planning.prior import Prior
from thresher.planning.results import Panel, Results
from thresher.setting import Setting
from thresher.training.recipe import total_flops, train_flops

if TYPE_CHECKING:
    from thresher.pilot import Pilot

# what is priced unless methods are named: one of each kind, and what the published tables compare
METHODS = (
    "random", "random:balanced", "longest", "length-filter", "bm25", "embed", "rds+", "ppl-mid", "ifd", "less", "gist",
    "s2l", "got-d",
)  # fmt: skip
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


def job_of(setting: Setting, task: str = "") -> Job:
    """Sizes and prices of training, from the pool's real tokens."""
    assert setting.model is not None, "checked by plans"
    arch = load.architecture(setting.model)
    lengths = setting.encoded.lengths()
    kept = np.setdiff1d(np.arange(len(lengths)), np.fromiter(setting.excluded, dtype=np.int64))
    lengths = lengths[kept]
    each = train_flops(setting.recipe, arch, lengths)
    recipe, mean_flops, mean_tokens = setting.recipe, float(each.mean()), float(lengths.mean())

    def training(rows: int) -> tuple[int, float]:
        tokens = round(mean_tokens * rows)
        if recipe.steps is not None:
            return tokens, total_flops(recipe, arch, np.full(rows, round(mean_tokens)))
        return tokens, mean_flops * rows

    return Job(
        n=len(lengths), training=training, model_params=float(arch.params), task=task,
        model=setting.sources.model or "", pool=setting.pool.name,
    )  # fmt: skip


def offers(setting: Setting, scorers: Sequence[str] = (), names: Sequence[str] = ()) -> list[Offer]:
    """Every method with every scorer that may read the pool, priced."""
    settings = [setting.with_scorer(name) for name in scorers] or [setting]
    found = []
    for name in names or METHODS:
        method = methods.get(name)
        if method.train == "subset":
            reads = "scorer" in method.needs
            found += [_offer(method, one, reads) for one in (settings if reads else settings[:1])]
    if not any(offer.method == "random" for offer in found):
        found.insert(0, Offer(method="random"))
    return found


def _offer(method: Method, setting: Setting, reads: bool) -> Offer:
    path = setting.scorer or setting.model
    scorer = (setting.sources.scorer or setting.sources.model or "") if reads else ""
    params = float(load.architecture(path).params) if reads and path else None
    named = Offer(method=method.name, scorer=scorer, scorer_params=params)
    if "target" in method.needs and setting.target is None:
        return replace(named, problem="needs a target (--target)")
    if "groups" in method.needs and len(setting.pool.group_names) < 2:
        return replace(named, problem="needs groups in the pool (--group)")
    try:
        signals, selector = building.build(
            method, model=setting.model, scorer=setting.scorer, encoder=setting.encoder
        )
        shared, own = split(signals, setting.pool, setting.target)
        own += selector.cost(bill.sizes(signals, setting.pool, setting.target))
    except ThresherError as error:
        return replace(named, problem=str(error))
    return replace(
        named, pool_flops=shared.flops, job_flops=own.flops, pool_cpu_seconds=shared.cpu_seconds,
        job_cpu_seconds=own.cpu_seconds,
    )  # fmt: skip


def split(signals: Sequence[Signal], pool: Pool, target: Pool | None) -> tuple[Cost, Cost]:
    """The price of measuring: the pool's side, which other targets can share, and this target's.

    What does not look at the target is shared, and so are the gradients of signals that can keep them (`keep`).
    """
    whole = bill.price_of(signals, pool, target)
    shared: list[Cost] = []
    seen: list[Signal] = []
    for signal in _chains(signals):
        if signal in seen:
            continue
        seen.append(signal)
        load_ = signal.sizes(pool, target)
        if not signal.needs_target:
            shared.append(signal.cost(load_))
        elif hasattr(signal, "keep"):
            shared.append(signal.cost(replace(
                load_, q=0, target_tokens=0, target_answer_tokens=0, target_square=0.0
            )))  # fmt: skip
    both = Cost.total(shared)
    own = Cost(flops=whole.flops - both.flops, cpu_seconds=max(whole.cpu_seconds - both.cpu_seconds, 0.0))
    return both, replace(own, flops=max(own.flops, 0.0))


def _chains(signals: Sequence[Signal]) -> Iterator[Signal]:
    """Signals over the pool, with those they are computed from."""
    for signal in signals:
        one: Signal | None = signal
        while one is not None:
            yield one
            one = None if one.inner_over == "target" else one.inner()


def cost_model(setting: Setting, priced: bool = False) -> CostModel:
    """The named hardware; without a name this machine, as fast as its own receipts say it is.

    Raises:
        BudgetError: dollars on hardware without a price.
    """
    named, usd = setting.sources.hardware, setting.sources.usd_per_hour
    if named:
        model = CostModel(hardware.get(named))
        if named == "cpu":
            model = CostModel.calibrate(model.hardware, receipts(setting.store, "cpu"))
    else:
        here = hardware.detect()
        model = CostModel.calibrate(here, receipts(setting.store, "cpu" if here.name == "cpu" else "cuda"))
    model = model.priced(usd) if usd is not None else model
    if priced and not model.hardware.usd_per_hour > 0:
        raise BudgetError(f"{model.hardware.name} has no price. Say --usd-per-hour, or name rented --hardware.")
    return model


def receipts(store: Store, device: str) -> list[Receipt]:
    """Work this machine has done: the receipts of everything that rests in the store."""
    found = []
    for path in sorted(store.root.glob("*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        stages = manifest.get("stages") or [manifest.get("receipt", {})]
        found += [Receipt.from_dict({"stage": "", **stage}) for stage in stages]
    return [receipt for receipt in found if receipt.device.startswith(device)]


def evidence(
    setting: Setting, job: Job, history: Results | None, task: str | None
) -> tuple[Prior, Panel | None, list[str]]:
    """What others saw, this job's own runs, and what to say of both.

    Raises:
        ResultsError: several tasks of this very job and none named, or none of that name.
    """
    prior, notes = Prior.published(), ["published results of other pools and models are a weak prior"]
    if history is None:
        return prior, None, notes
    panels = history.panels()
    if task is not None:
        if task not in {panel.task for panel in panels}:
            raise ResultsError(
                f"the history has no task {task!r}; it has {', '.join(sorted({p.task for p in panels}))}."
            )
        panels = [panel for panel in panels if panel.task == task]
    mine = [panel for panel in panels if _same_job(panel, setting, job)]
    if len(mine) > 1:
        raise ResultsError(
            f"the history has several tables of this very job: {', '.join(_named(p) for p in mine)}. "
            "Say which task is meant with --history-task."
        )
    others = [panel for panel in panels if panel not in mine]
    for panel in others:
        notes.append(f"history of another job, used as a prior only: {_why_not(panel, setting, job)}")
    return prior + Prior.of(others), mine[0] if mine else None, notes


def _named(panel: Panel) -> str:
    return f"{panel.task} {panel.metric} {panel.protocol}".strip()


def _same_model(panel: Panel, setting: Setting, job: Job) -> bool:
    params = panel.runs[0].model_params
    if panel.model == setting.sources.model:
        return True
    return bool(params and job.model_params and abs(params / job.model_params - 1) < 1e-6)


def _same_pool(panel: Panel, setting: Setting) -> bool:
    """By name, else by the rows that its shares say the pool has."""
    if panel.pool:
        return panel.pool == setting.pool.name
    rows = [run.rows / run.fraction for run in panel.runs if run.rows and run.fraction]
    return bool(rows) and abs(float(np.median(rows)) / len(setting.pool) - 1) < 0.01


def _same_job(panel: Panel, setting: Setting, job: Job) -> bool:
    return _same_model(panel, setting, job) and _same_pool(panel, setting)


def _why_not(panel: Panel, setting: Setting, job: Job) -> str:
    reasons = []
    if not _same_pool(panel, setting):
        reasons.append(f"pool {panel.pool or 'not named'} instead of {setting.pool.name}")
    if not _same_model(panel, setting, job):
        reasons.append(f"model {panel.model} instead of {setting.sources.model}")
    return f"{panel.task}, {', '.join(reasons)}"
