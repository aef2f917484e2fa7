"""What a model writes for a task's rows, and what is to be said about it: too long, not ended, nothing at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import prompts
from thresher.evaluation.task import Task
from thresher.models.generate import Answer, Decoding, answers
from thresher.models.load import Opened
from thresher.models.served import Served

SHOWN = 3  # answers kept for the eye


@dataclass(frozen=True)
class Written:
    """Answers of all rows, `samples` of them in turn for each row.

    Attributes:
        texts: (n * samples,) as written.
        samples: of one row.
        notes: what a reader of the score must know.
    """

    texts: list[str]
    samples: int = 1
    notes: tuple[str, ...] = ()

    def rows(self, values: Sequence[float] | np.ndarray) -> Float[np.ndarray, " n"]:
        """(n,) means over a row's samples of one value an answer."""
        return np.asarray(values, np.float64).reshape(-1, self.samples).mean(axis=1)

    def each(self, of_rows: Sequence[str]) -> list[str]:
        """(n * samples,) one thing a row, for every answer of it."""
        return [one for one in of_rows for _ in range(self.samples)]

    def shown(self, **columns: Sequence[str]) -> tuple[dict[str, str], ...]:
        """The first few answers beside what is known about them."""
        first = range(min(SHOWN, len(self.texts)))
        return tuple(
            {"written": self.texts[i][:400], **{key: column[i] for key, column in columns.items()}} for i in first
        )


def write(opened: Opened | Served, task: Task, rows: Pool) -> Written:
    """Answers to every row's prompt.

    Raises:
        TaskError: a prompt that leaves no room for an answer of `max_new_tokens`.
    """
    asked, notes = _fitting(task, rows, prompts.of_rows(task, rows, opened.tokenizer), _room(opened, task))
    decoding = Decoding(
        max_new_tokens=task.max_new_tokens, stop=task.stop, temperature=task.temperature, top_p=task.top_p,
        seed=task.seed,
    )  # fmt: skip
    asked = [prompt for prompt in asked for _ in range(task.samples)]
    found = opened.answers(asked, decoding) if isinstance(opened, Served) else answers(opened, asked, decoding)
    return Written([one.text for one in found], task.samples, (*notes, *_said(task, found)))


def _room(opened: Opened | Served, task: Task) -> int:
    return (opened.window if isinstance(opened, Served) else prompts.places(opened)) - task.max_new_tokens


def _fitting(task: Task, rows: Pool, asked: list[list[int]], room: int) -> tuple[list[list[int]], list[str]]:
    long = [i for i, prompt in enumerate(asked) if len(prompt) > room]
    if not long:
        return asked, []
    if task.over_window == "refuse" or room < 1:
        raise TaskError(
            f"task {task.task}: {len(long)} prompts and an answer of {task.max_new_tokens} tokens do not fit into what "
            f"the model reads ({room + task.max_new_tokens} tokens), first {rows.take(long[:3]).ids()}. Lower "
            "max_new_tokens, use fewer shots, leave these rows out, or set over_window: cut."
        )
    return [prompt[-room:] for prompt in asked], [
        f"{len(long)} prompts lost their beginning to the window, to leave room for an answer"
    ]


def _said(task: Task, found: Sequence[Answer]) -> list[str]:
    """Notes about answers that are empty or were cut."""
    n, notes = len(found), []
    empty = sum(not one.text.strip() for one in found)
    if n and empty == n:
        ways = {"end": "the end of its turn", "stop": f"a stop string {list(task.stop)}", "length": "their length"}
        how = ways[Counter(one.ended for one in found).most_common(1)[0][0]]
        notes.append(f"the model writes nothing: all {n} answers are empty, mostly ended by {how}")
    elif empty:
        notes.append(f"{empty} of {n} answers are empty")
    cut = sum(one.ended == "length" for one in found)
    if cut:
        notes.append(f"{cut} of {n} answers were cut at {task.max_new_tokens} tokens, before the model had ended")
    return notes
