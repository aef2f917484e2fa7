"""What is asked and what would be right, in words: a row's columns put into a task's template, shots before them."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from thresher.core.pool import Message, Pool
from thresher.errors import TaskError
from thresher.evaluation.answers import column

if TYPE_CHECKING:
    from thresher.evaluation.task import Task


def asked(task: Task, rows: Pool, examples: Pool | None) -> Pool:
    """The rows as this task asks them: system turn, shots, prompt, answer; groups from the task's column.

    Raises:
        TaskError: a column that is missing, or too few examples.
    """
    if not (task.prompt or task.response or task.system or task.shots or task.groups):
        return rows
    groups = column(task.task, rows, task.groups) if task.groups else rows.table["group"].to_pylist()
    before = _shots(task, rows, examples, groups) if task.shots else [[]] * len(rows)
    head: list[Message] = [{"role": "system", "content": task.system}] if task.system else []
    turns = [[*head, *shots, *own] for shots, own in zip(before, turns_of(task, rows), strict=True)]
    return Pool.from_messages(turns, groups, ids=rows.ids(), origin=list(rows.origin()), name=rows.name)


def turns_of(task: Task, rows: Pool) -> list[list[Message]]:
    """Prompt and answer of each row, by the templates or as read.

    Raises:
        TaskError: a column of a template that a row does not have.
    """
    found = list(rows.messages())
    if task.prompt is None and task.response is None:
        return found
    out = []
    for row, columns, name in zip(found, rows.origin(), rows.ids(), strict=True):
        prompt = row[:-1]
        if task.prompt is not None:
            prompt = [{"role": "user", "content": filled(task, task.prompt, columns, name)}]
        answer = row[-1]["content"]
        if task.response is not None:
            answer = filled(task, task.response, columns, name)
        elif not answer and task.answer is not None:
            answer = str(columns.get(task.answer) or "")
        out.append([*prompt, {"role": "assistant", "content": answer}])
    return out


def filled(task: Task, template: str, columns: Mapping[str, Any], row: str) -> str:
    """A template with a row's columns in it.

    Raises:
        TaskError: the row has no such column.
    """
    parts = []
    for literal, name, _, _ in string.Formatter().parse(template):
        parts.append(literal)
        if name is not None:
            if columns.get(name) is None:
                raise TaskError(
                    f"task {task.task}: row {row} has no column {name!r}, which the template names; "
                    f"it has {', '.join(columns)}."
                )
            parts.append(str(columns[name]))
    return "".join(parts)


def columns_of(task: str, template: str) -> list[str]:
    """The columns that a template names.

    Raises:
        TaskError: it is no template.
    """
    try:
        found = [(name, spec, way) for _, name, spec, way in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise TaskError(f"task {task}: {template!r} is no template: {error}. A brace itself is {{{{.") from None
    for name, spec, way in found:
        if not name.isidentifier() or spec or way:
            raise TaskError(f"task {task}: {{{name}}} in a template is not a column's name. A brace itself is {{{{.")
    return [name for name, _, _ in found]


def _shots(task: Task, rows: Pool, examples: Pool | None, groups: Sequence[str | None]) -> list[list[Message]]:
    """For each row its examples' turns; an example that asks what a test row asks is not one.

    Raises:
        TaskError: too few of them, or one without an answer.
    """
    if examples is None:
        raise TaskError(f"task {task.task}: {task.shots} shots, and no rows to take them from.")
    turns = turns_of(task, examples)
    own = task.groups if task.shots_of == "group" else None
    theirs: list[str | None] = [*column(task.task, examples, own)] if own else [None] * len(examples)
    kept: dict[str | None, list[Message]] = {}
    tests = {tuple(m["content"] for m in row[:-1]) for row in turns_of(task, rows)}
    for name in dict.fromkeys(groups if own else [None]):
        at = [i for i, other in enumerate(theirs) if other == name]
        if task.shots_drawn == "random":
            at = [at[i] for i in np.random.default_rng([task.seed, 0x5407]).permutation(len(at))]
        at = [i for i in at if tuple(m["content"] for m in turns[i][:-1]) not in tests][: task.shots]
        if len(at) < task.shots:
            of = f" of the group {name!r}" if name is not None else ""
            raise TaskError(f"task {task.task}: {task.shots} shots, but {examples.name} has {len(at)}{of}.")
        if not all(turns[i][-1]["content"].strip() for i in at):
            raise TaskError(f"task {task.task}: an example of {examples.name} has no answer to show.")
        kept[name] = [message for i in at for message in turns[i]]
    return [kept[name if own else None] for name in groups]
