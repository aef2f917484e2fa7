"""A task's files are read, and a model is scored on them: what a run's workers and `thresher evaluate` both do."""

from __future__ import annotations

from pathlib import Path

from thresher.core.cost import Receipt
from thresher.core.pool import Pool
from thresher.data.read import load_pool
from thresher.errors import PoolError, TaskError
from thresher.evaluation import packaged
from thresher.evaluation.measures import evaluate
from thresher.evaluation.outcome import Outcome
from thresher.evaluation.task import Task


def score(model: str, task: Task, *, cache: Path, dtype: str = "auto") -> tuple[Outcome, Receipt]:
    """Score a resolved model on a task.

    Raises:
        TaskError: rows that do not fit the task, or none.
        PoolError: rows that cannot be read.
    """
    try:
        rows = load_pool(task.data, cache=cache, format=task.reading)
    except PoolError as error:
        if task.task in packaged.names() and not Path(task.data).exists():
            raise TaskError(
                f"the task {task.task} comes without its rows: give --data FOLDER (in a recipe: data: FOLDER) with "
                f"{Path(task.data).name}, or a file. {error}"
            ) from error
        raise
    examples = _examples(task, cache) if task.shots else None
    return evaluate(model, task, rows, examples=examples, dtype=dtype)


def _examples(task: Task, cache: Path) -> Pool:
    """The rows that worked examples are taken from.

    Raises:
        TaskError: they cannot be read.
    """
    try:
        return load_pool(str(task.shots_from), cache=cache, format=task.reading)
    except PoolError as error:
        raise TaskError(f"task {task.task}, shots_from (its worked examples): {error}") from error
