"""The planner's prices: training, choosing and an hour of the hardware, from real tokens and real model sizes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from thresher import building, methods
from thresher.compute import bill, hardware
from thresher.compute.cost_model import CostModel
from thresher.core.cost import Cost, Receipt
from thresher.core.method import Signal, chain
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.core.target_rows import target_rows
from thresher.errors import BudgetError, ThresherError
from thresher.methods import Method
from thresher.models import load
from thresher.planning.offers import Job, Offer
from thresher.setting import Setting
from thresher.training.recipe import total_flops, train_flops

# what is priced unless methods are named: one of each kind, and what the published tables compare
METHODS = (
    "random", "random:balanced", "longest", "length-filter", "bm25", "embed", "rds+", "ppl-mid", "ifd", "less", "gist",
    "s2l", "got-d",
)  # fmt: skip


def job_of(setting: Setting, task: str = "") -> Job:
    """Sizes and prices of training, from the pool's real tokens."""
    assert setting.model is not None, "checked by the planner"
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
    target = target_rows(signals, target).rows
    whole = bill.price_of(signals, pool, target)
    shared: list[Cost] = []
    seen: list[Signal] = []
    for signal in (one for first in signals for one in chain(first)):
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
