"""Exact match of written answers."""

from __future__ import annotations

import logging

import numpy as np

from thresher.core.pool import Pool
from thresher.data.chat import prompt_ids
from thresher.evaluation.outcome import Outcome, mean_of
from thresher.evaluation.task import Task
from thresher.models.generate import generate
from thresher.models.load import Opened

SHOWN = 3  # answers kept for the eye


def score(opened: Opened, task: Task, target: Pool) -> Outcome:
    """Share of rows whose extracted answer equals the reference after normalisation; greedy decoding.

    Raises:
        TaskError: a row without a reference answer.
    """
    references = task.references(target)
    heads = [row[:-1] for row in target.messages()]
    prompts = prompt_ids(heads, opened.tokenizer, plain=task.format == "plain")
    written = generate(opened, prompts, max_new_tokens=task.max_new_tokens, stop=list(task.stop))
    given = [task.extracted(text) for text in written]
    right = [
        task.comparable(g) == task.comparable(r) and task.comparable(g) != ""
        for g, r in zip(given, references, strict=True)
    ]
    examples = tuple(
        {"written": text[:400], "extracted": g, "reference": r}
        for text, g, r in list(zip(written, given, references, strict=True))[:SHOWN]
    )
    if task.extract is not None and not any(given):
        logging.getLogger(__name__).warning(
            "task %s: no answer was found in any of %d texts; the first: %s", task.task, len(written),
            " | ".join(repr(e["written"][:80]) for e in examples),
        )  # fmt: skip
    return mean_of(task.task, task.metric, np.array(right, dtype=np.float64), examples)
