"""What a run will cost, before anything of it runs: reading, training and jobs, arm by arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from thresher import building, methods
from thresher.compute import bill
from thresher.core.budget import Budget
from thresher.core.cost import Cost
from thresher.core.method import Signal
from thresher.core.pool import Pool
from thresher.errors import ThresherError
from thresher.models import load
from thresher.planning.results import EQUAL_STEPS
from thresher.setting import Setting
from thresher.spec import Arm, Spec
from thresher.stages import longest_training
from thresher.training.recipe import total_flops


def price(spec: Spec, setting: Setting) -> dict[str, Any]:
    """Lines an arm, and what the whole run comes to; what several arms read from is in the sum once.

    Chosen rows are taken to be as long as the pool's mean; evaluation and what selectors compute are not in it.
    """
    lines, known = [], _Known()
    for arm in spec.arms:
        mine, problem = _measured(spec, setting, arm)
        cost = known.of(mine)
        jobs, flops = _training(spec, setting, arm)
        lines.append({
            "method": arm.label, "jobs": jobs, "selection_flops": cost.flops, "selection_cpu_seconds": cost.cpu_seconds,
            "training_flops": flops, "not_priced": problem,
        })  # fmt: skip
    read = known.all()
    trained = Cost(flops=sum(line["training_flops"] for line in lines))
    model = setting.cost_model("gpu_hours")
    hours = [model.in_unit(cost, "gpu_hours", kind) for cost, kind in ((read, "forward"), (trained, "train"))]
    return {
        "arms": lines, "jobs": sum(line["jobs"] for line in lines), "tasks": len(spec.tasks),
        "hardware": model.hardware.name, "selection_flops": read.flops, "training_flops": trained.flops,
        "selection_hours": hours[0], "training_hours": hours[1],
    }  # fmt: skip


class _Known:
    """Prices of signals, each counted once: to count is to read the pool."""

    def __init__(self) -> None:
        self.priced: list[tuple[Signal, str, Cost]] = []

    def of(self, measured: Sequence[tuple[Signal, Pool, Pool | None]]) -> Cost:
        """What measuring some signals costs, over which rows and near which."""
        return Cost.total(self._one(*each) for each in measured)

    def all(self) -> Cost:
        """What all that was asked about costs."""
        return Cost.total(cost for _, _, cost in self.priced)

    def _one(self, signal: Signal, rows: Pool, near: Pool | None) -> Cost:
        for known, over, cost in self.priced:
            if known == signal and over == rows.fingerprint:
                return cost
        cost = signal.cost(signal.sizes(rows, near))
        self.priced.append((signal, rows.fingerprint, cost))
        return cost


def _measured(spec: Spec, setting: Setting, arm: Arm) -> tuple[list[tuple[Signal, Pool, Pool | None]], str]:
    """What is measured for an arm, over which rows and near which; and why nothing is where something should be."""
    method = methods.get(arm.method)
    if method.train != "subset" or arm.matching is not None:
        return [], ""
    here = setting.with_scorer(arm.scorer)
    own = {key: value for key, value in arm.overrides.items() if not key.startswith("domains.")}
    try:
        built, _ = building.build(
            method, model=here.model, scorer=here.scorer, encoder=here.encoder, overrides=own
        )
        return bill.measured_by(built, setting.pool, setting.target), ""
    except ThresherError as error:
        return [], str(error)


def _training(spec: Spec, setting: Setting, arm: Arm) -> tuple[int, float]:
    """Models to train or score, and the FLOPs of all of them."""
    method = methods.get(arm.method)
    if method.train == "none":
        return 2, 0.0
    assert setting.model is not None, "a run has a model"
    lengths, arch = setting.lengths(), load.architecture(setting.model)
    assert lengths is not None, "a run has a model"
    n, mean = len(lengths), max(1, round(float(np.minimum(lengths, spec.recipe.max_tokens).mean())))
    jobs, flops = 0, 0.0
    for text in spec.budgets if method.train == "subset" else ("100%",):
        per_row = total_flops(replace(spec.recipe, steps=None), arch, np.array([mean]))
        rows = float(n) if method.train == "all" else _rows(setting, Budget.parse(text, n), mean, per_row)
        for protocol in spec.protocols:
            steps = spec.steps or longest_training(spec.recipe, [round(rows)]) if protocol == EQUAL_STEPS else None
            passes = rows if steps is None else steps * spec.recipe.batch_size
            jobs += len(spec.seeds)
            flops += len(spec.seeds) * per_row * passes
    return jobs, flops


def _rows(setting: Setting, budget: Budget, mean: int, per_row: float) -> float:
    """Rows of mean length that a budget buys if choosing is free."""
    price = {"examples": 1.0, "tokens": float(mean), "flops": per_row}.get(budget.unit)
    if price is None:
        price = setting.cost_model(budget.unit).in_unit(Cost(flops=per_row), budget.unit, "train")
    return min(budget.amount / price, float(len(setting.pool)))
