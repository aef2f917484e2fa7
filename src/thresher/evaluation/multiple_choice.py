"""Multiple choice by likelihood: which choice would the model rather write?

accuracy            the right choice has the highest log-likelihood after the prompt
accuracy_token      ... the highest log-likelihood divided by its tokens
accuracy_character  ... divided by its characters (lm-evaluation-harness's acc_norm)
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from thresher.core.pool import Pool
from thresher.data.chat import Encoded
from thresher.errors import TaskError
from thresher.evaluation import answers, prompts
from thresher.evaluation.outcome import Outcome, mean_of, together
from thresher.evaluation.task import Task
from thresher.models.finite import check_losses
from thresher.models.load import Opened
from thresher.models.loss import negative_log_likelihood, row_statistics

MANY = 64  # different tokens looked up at one place


def score(opened: Opened, task: Task, target: Pool) -> Outcome:
    """Share of rows where the right choice is the likeliest.

    Raises:
        TaskError: a row without choices, or whose answer is none of them.
        NonFinite: the model predicts no numbers.
    """
    choices = _choices(task, target)
    right = _right(task, target, choices)
    owner = np.repeat(np.arange(len(target)), [len(c) for c in choices])
    texts = [choice for row in choices for choice in row]
    turns = prompts.heads(task, target)
    whole = prompts.followed(task, [turns[i] for i in owner], texts, opened.tokenizer)
    rows, notes = prompts.fitted(task, whole, target, prompts.window_of(task, opened), owner)
    if not rows.answer_tokens().all():
        raise TaskError(f"task {task.task}: a choice has no token that can be predicted. Is one empty?")
    likelihood, tokens = _likelihoods(opened, rows, owner)
    check_losses(task.task, target.take(owner).ids(), likelihood)
    length = {"accuracy": np.ones(len(texts)), "accuracy_token": tokens,
              "accuracy_character": np.array([max(1, len(text)) for text in texts], np.float64)}  # fmt: skip
    starts = np.concatenate([[0], np.cumsum([len(c) for c in choices])])
    outcomes = []
    for metric in task.named:
        value = likelihood / length[metric]
        best = [int(value[a:b].argmax()) for a, b in zip(starts[:-1], starts[1:], strict=True)]
        hit = np.array([place in places for place, places in zip(best, right, strict=True)], np.float64)
        shown = tuple(
            {"written": row[place], "reference": row[min(places)]}
            for row, place, places in zip(choices[:3], best, right, strict=False)
        )
        outcomes.append(mean_of(task.task, metric, hit, shown, tuple(notes)))
    return together(outcomes)


def _right(task: Task, target: Pool, choices: list[list[str]]) -> list[set[int]]:
    """The places of each row's right choice.

    Raises:
        TaskError: the answer is none of the choices.
    """
    found = []
    for name, row, reference in zip(target.ids(), choices, task.references(target), strict=True):
        if task.answer_is == "index":
            places = {int(reference)} if reference.isdigit() and int(reference) < len(row) else set()
        else:
            wanted = task.comparable(reference)
            places = {place for place, choice in enumerate(row) if task.comparable(choice) == wanted}
        if not places:
            raise TaskError(f"task {task.task}: the answer {reference!r} of {name} is none of its choices {row}.")
        found.append(places)
    return found


def _likelihoods(
    opened: Opened, rows: Encoded, owner: np.ndarray
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Log-likelihood and tokens of each choice; where every choice is one token a prompt is read once for all of them.

    Choices of one token stand at the same place behind the same tokens, whose prediction says all of them.
    """
    ids = [rows.row(i)[0] for i in range(len(rows))]
    known = sorted({int(row[-1]) for row in ids})
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    of = np.searchsorted(first, np.arange(len(ids)), side="right") - 1  # which prompt each choice is of
    same = all(np.array_equal(ids[i][:-1], ids[first[p]][:-1]) for i, p in enumerate(of))
    if len(first) == len(ids) or not same or (rows.answer_tokens() != 1).any() or len(known) > MANY:
        sums, counts = row_statistics(opened, rows, negative_log_likelihood)
        return -sums, counts.astype(np.float64)
    at = torch.tensor(known, device=opened.device)

    def all_known(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return logits.log_softmax(-1)[:, at]

    found, _ = row_statistics(opened, rows.take(first), all_known)  # (prompts, known)
    place = {token: i for i, token in enumerate(known)}
    said = np.array([found[p, place[int(ids[i][-1])]] for i, p in enumerate(of)])
    return said, np.ones(len(ids))


def _choices(task: Task, target: Pool) -> list[list[str]]:
    if not isinstance(task.choices, str):
        return [list(map(str, task.choices))] * len(target)
    found = [row.get(task.choices) for row in target.origin()]
    answers.column(task.task, target, task.choices)  # says which columns there are
    for name, row in zip(target.ids(), found, strict=True):
        if not isinstance(row, list) or not row:
            raise TaskError(
                f"task {task.task}: {name} of {target.name} has no list of choices in {task.choices!r}, but {row!r}."
            )
    return [[str(choice) for choice in row] for row in found]
