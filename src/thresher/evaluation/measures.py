"""A task's measure by name; `evaluation.known` is the table of them."""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib import import_module

from thresher.compute import meter
from thresher.core.cost import Receipt
from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation.known import MEASURES
from thresher.evaluation.outcome import Outcome, by_group
from thresher.evaluation.task import Task
from thresher.evaluation.template import asked
from thresher.models.load import Opened, open_model
from thresher.models.served import Served


def evaluate(
    model: str, task: Task, pool: Pool, *, examples: Pool | None = None, device: str = "auto", dtype: str = "auto"
) -> tuple[Outcome, Receipt]:
    """Score one model on one task's rows.

    Args:
        model: a resolved model.
        task: what is asked and scored.
        pool: the test rows.
        examples: rows that shots are taken from.
        device: "auto", "cpu", "cuda".
        dtype: "auto", or a precision.

    Raises:
        TaskError: rows that do not fit the task.
        ModelError: a model that cannot be opened.
    """  # noqa: DOC502
    rows = asked(task, task.rows(pool), examples)
    known = MEASURES[task.measure]
    opened = _open(model, task, device, dtype)
    with meter.block(f"evaluate {task.task}", kind="generate" if known.writes else "forward") as block:
        outcome: Outcome = import_module(f"thresher.evaluation.{task.measure}").score(opened, task, rows)
    for note in outcome.notes:
        logging.getLogger(__name__).warning("task %s: %s", task.task, note)
    if task.groups is not None:
        outcome = _grouped(outcome, task, rows)
    return outcome, block.receipt()


def _open(model: str, task: Task, device: str, dtype: str) -> Opened | Served:
    if task.engine != "vllm":
        return open_model(model, device=device, dtype=dtype)
    if not MEASURES[task.measure].writes:
        raise TaskError(f"task {task.task}: {task.measure} reads rows; the engine vllm only writes answers.")
    return Served(model, dtype=dtype)


def _grouped(outcome: Outcome, task: Task, rows: Pool) -> Outcome:
    """Scores of groups, of the metrics that are means over rows."""
    names, corpus = rows.table["group"].to_pylist(), MEASURES[task.measure].corpus
    first, *more = (
        one if one.metric in corpus else by_group(one, names, average=task.average == "groups")
        for one in outcome.all()
    )
    return replace(first, more=tuple(more))
