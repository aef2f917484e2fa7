"""A task's measure by name."""

from __future__ import annotations

from importlib import import_module

from thresher.compute import meter
from thresher.core.cost import Receipt
from thresher.core.pool import Pool
from thresher.evaluation.outcome import Outcome
from thresher.evaluation.task import Task
from thresher.models.load import open_model


def evaluate(
    model: str, task: Task, pool: Pool, *, device: str = "auto", dtype: str = "auto"
) -> tuple[Outcome, Receipt]:
    """Score one model on one task's rows.

    Raises:
        TaskError: rows that do not fit the task.
        ModelError: a model that cannot be opened.
    """
    opened = open_model(model, device=device, dtype=dtype)
    kind = "generate" if task.measure in ("exact_match", "classifier") else "forward"
    with meter.block(f"evaluate {task.task}", kind=kind) as block:
        outcome = import_module(f"thresher.evaluation.{task.measure}").score(opened, task, task.rows(pool))
    return outcome, block.receipt()
