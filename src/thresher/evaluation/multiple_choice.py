"""Multiple choice by likelihood: which choice would the model rather write?"""

from __future__ import annotations

import numpy as np

from thresher.core.pool import Pool
from thresher.data.chat import prompt_ids
from thresher.errors import TaskError
from thresher.evaluation import plain
from thresher.evaluation.outcome import Outcome, mean_of
from thresher.evaluation.task import Task
from thresher.models.load import Opened
from thresher.models.loss import negative_log_likelihood, row_statistics


def score(opened: Opened, task: Task, target: Pool) -> Outcome:
    """Share of rows where the right choice has the highest log-likelihood after the prompt.

    Raises:
        TaskError: a row without choices, or whose answer is none of them.
    """
    references = [task.comparable(text) for text in task.references(target)]
    choices = _choices(task, target)
    heads = prompt_ids([row[:-1] for row in target.messages()], opened.tokenizer, plain=task.format == "plain")
    owner = np.repeat(np.arange(len(target)), [len(c) for c in choices])
    rows = plain.followed(
        [heads[i] for i in owner], [c for row in choices for c in row], opened.tokenizer, task.max_tokens
    )
    sums, counts = row_statistics(opened, rows, negative_log_likelihood)
    likelihood = -sums if task.by == "sum" else -sums / np.maximum(counts, 1)
    start, right = 0, np.zeros(len(target))
    for i, (row, reference) in enumerate(zip(choices, references, strict=True)):
        best = row[int(likelihood[start : start + len(row)].argmax())]
        right[i] = task.comparable(best) == reference
        start += len(row)
        if reference not in map(task.comparable, row):
            raise TaskError(f"task {task.task}: the answer {reference!r} of row {i + 1} is none of its choices {row}.")
    return mean_of(task.task, task.metric, right)


def _choices(task: Task, target: Pool) -> list[list[str]]:
    if not isinstance(task.choices, str):
        return [list(task.choices)] * len(target)
    found = [row.get(task.choices) for row in target.origin()]
    for number, row in enumerate(found, start=1):
        if not isinstance(row, list) or not row:
            raise TaskError(
                f"task {task.task}: row {number} of {target.name} has no list of choices in {task.choices!r}."
            )
    return [[str(choice) for choice in row] for row in found]
