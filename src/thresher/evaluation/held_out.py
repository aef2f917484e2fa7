"""Held-out answer loss: how surprised the model is by the reference answers.

loss           mean over rows of the mean loss of the answer's tokens given the prompt, in nats
perplexity     exp of the mean loss of all answer tokens together
bits_per_byte  loss of all answer tokens together in bits, per byte of the answers' text: tokenizers compare
"""

from __future__ import annotations

import math

import numpy as np

from thresher.core.pool import Pool
from thresher.data.chat import Encoded, join
from thresher.errors import TaskError
from thresher.evaluation import corpus, prompts
from thresher.evaluation.outcome import Outcome, mean_of, together
from thresher.evaluation.task import Task
from thresher.models.finite import check_losses
from thresher.models.load import Opened
from thresher.models.loss import negative_log_likelihood, row_statistics


def score(opened: Opened, task: Task, target: Pool) -> Outcome:
    """The answers' losses, as the task's metrics; lower is better.

    Raises:
        TaskError: a row without an answer token in the window.
        NonFinite: the model predicts no numbers.
    """
    rows, notes = encoded(opened, task, target)
    sums, counts = row_statistics(opened, rows, negative_log_likelihood)  # (n,), (n,)
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        raise TaskError(
            f"task {task.task}: {empty.size} rows have no answer within {prompts.window_of(task, opened)} tokens, "
            f"first {target.take(empty[:3]).ids()}. Raise max_tokens, or leave these rows out."
        )
    check_losses(task.task, target.ids(), sums)
    outcomes = []
    for metric in task.named:
        if metric == "loss":
            outcomes.append(mean_of(task.task, metric, sums / counts, notes=notes))
        elif metric == "perplexity":
            outcomes.append(corpus.perplexity(task.task, sums, counts, notes))
        else:
            lengths = np.array([len(text.encode()) for text in target.answer()], np.float64)
            outcomes.append(corpus.ratio(task.task, metric, sums / math.log(2), lengths, notes))
    return together(outcomes)


def encoded(opened: Opened, task: Task, target: Pool) -> tuple[Encoded, tuple[str, ...]]:
    """The rows in the task's format, cut on the right where they are longer than the window, and what to say of it."""
    whole, window = prompts.with_answers(task, target, opened.tokenizer), prompts.window_of(task, opened)
    if task.over_window == "cut":
        cut, notes = prompts.fitted(task, whole, target, window, np.arange(len(target)))
        return cut, tuple(notes)
    long = int((whole.lengths() > window).sum())
    notes = [f"{long} of {len(whole)} answers are longer than the window of {window} tokens: the loss is of what fits"]
    return _right_cut(whole, window), tuple(notes if long else ())


def _right_cut(tokens: Encoded, window: int) -> Encoded:
    pairs = [tokens.row(i) for i in range(len(tokens))]
    lost = np.maximum(tokens.lengths() - window, 0)
    return join([row[:window] for row, _ in pairs], [mask[:window] for _, mask in pairs], lost, tokens.template)
