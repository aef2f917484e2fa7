"""Held-out answer loss: how surprised the model is by the reference answers."""

from __future__ import annotations

import numpy as np

from thresher.core.pool import Pool
from thresher.data.chat import Encoded, encode
from thresher.errors import TaskError
from thresher.evaluation import plain
from thresher.evaluation.outcome import Outcome, mean_of
from thresher.evaluation.task import Task
from thresher.models.load import Opened
from thresher.models.loss import negative_log_likelihood, row_statistics


def score(opened: Opened, task: Task, target: Pool) -> Outcome:
    """Mean over rows of the mean loss of the answer's tokens given the prompt, in nats; lower is better.

    Raises:
        TaskError: a row without an answer token in the window.
    """
    rows = encoded(opened, task, target)
    sums, counts = row_statistics(opened, rows, negative_log_likelihood)  # (n,), (n,)
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        raise TaskError(
            f"task {task.task}: {empty.size} rows have no answer within {task.max_tokens} tokens, first "
            f"{target.take(empty[:3]).ids()}. Raise max_tokens, or leave these rows out."
        )
    return mean_of(task.task, task.metric, sums / counts)


def encoded(opened: Opened, task: Task, target: Pool) -> Encoded:
    """The rows in the task's format."""
    if task.format == "plain":
        return plain.encode(target, opened.tokenizer, task.max_tokens)
    return encode(target, opened.tokenizer, max_tokens=task.max_tokens)
