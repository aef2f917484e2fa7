"""Exact match of written answers."""

from __future__ import annotations

from thresher.core.pool import Pool
from thresher.evaluation.outcome import Outcome, mean_of
from thresher.evaluation.task import Task
from thresher.evaluation.writing import SHOWN, write
from thresher.models.load import Opened
from thresher.models.served import Served


def score(opened: Opened | Served, task: Task, target: Pool) -> Outcome:
    """Share of rows whose extracted answer equals the reference after normalisation.

    Raises:
        TaskError: a row without a reference answer.
    """  # noqa: DOC502
    references = task.references(target)
    written = write(opened, task, target)
    given = [task.extracted(text) for text in written.texts]
    wanted = written.each(references)
    right = [
        float(task.comparable(g) == task.comparable(r) and task.comparable(g) != "")
        for g, r in zip(given, wanted, strict=True)
    ]
    notes = list(written.notes)
    if task.extract and not any(given):
        shown = " | ".join(repr(text[:200]) for text in written.texts[:SHOWN])
        notes.append(f"no answer was found in any of {len(given)} texts by {list(task.extract)}; the first: {shown}")
    return mean_of(
        task.task, task.metric, written.rows(right), written.shown(extracted=given, reference=wanted), tuple(notes)
    )
