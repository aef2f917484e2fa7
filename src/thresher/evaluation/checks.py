"""What a task file says is checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thresher.core.suggest import unknown
from thresher.errors import TaskError
from thresher.evaluation import answers
from thresher.evaluation.known import MEASURES
from thresher.evaluation.template import columns_of

if TYPE_CHECKING:
    from thresher.evaluation.task import Task

CHOICES = {
    "format": ("chat", "plain"), "shots_drawn": ("first", "random"), "shots_of": ("all", "group"),
    "take": ("last", "first"), "answer_is": ("text", "index"), "average": ("rows", "groups"),
    "engine": ("transformers", "vllm"), "over_window": ("refuse", "cut"),
}  # fmt: skip
LEAST = {"shots": 0, "max_new_tokens": 1, "max_tokens": 2, "samples": 1, "limit": 1, "seed": 0}


def check(task: Task) -> None:
    """A task whose fields fit together.

    Raises:
        TaskError: they do not.
    """
    metrics(task)
    for pattern in task.extract:
        answers.check_pattern(task.task, pattern)
    answers.check_rules(task.task, tuple(task.normalise))
    for text in (task.prompt, task.response):
        columns_of(task.task, text or "")
    if task.groups is None and (task.average == "groups" or task.shots_of == "group" or task.only):
        raise TaskError(f"task {task.task}: `average: groups`, `shots_of: group` and `only` need `groups`, a column.")
    if task.measure == "multiple_choice" and not task.choices:
        raise TaskError(f"task {task.task}: multiple_choice needs `choices`: a column, or a list.")
    if (task.measure == "classifier") != (task.judge is not None and task.judged is not None):
        raise TaskError(f"task {task.task}: `judge` and `judged` (its class) belong to the measure classifier.")
    writing(task)


def metrics(task: Task) -> None:
    """Metrics that the measure has.

    Raises:
        TaskError: one it has not, or that needs something else.
    """
    measure = MEASURES[task.measure]
    for metric in task.metrics:
        if metric not in measure.metrics:
            raise TaskError(f"task {task.task}: " + unknown(f"metric of {task.measure}", metric, measure.metrics))
        if task.average == "groups" and metric in measure.corpus:
            raise TaskError(f"task {task.task}: {metric} is of all rows together: it has no mean over groups.")
    if "bert_score" in task.named and task.encoder is None:
        raise TaskError(f"task {task.task}: bert_score needs `encoder`: a folder, or package:NAME.")


def writing(task: Task) -> None:
    """Shots and samples.

    Raises:
        TaskError: shots from nowhere, or several samples that are the same.
    """
    if task.shots and task.shots_from is None:
        raise TaskError(f"task {task.task}: `shots` needs `shots_from`, a pool file of worked examples.")
    if task.samples > 1 and task.temperature <= 0:
        raise TaskError(f"task {task.task}: {task.samples} greedy samples are the same; set a temperature.")
    if not 0 < task.top_p <= 1 or task.temperature < 0:
        raise TaskError(f"task {task.task}: top_p is above 0 and at most 1, and temperature not below 0.")
    if "" in task.stop:
        raise TaskError(f"task {task.task}: an empty stop string would end every answer at once.")


def values(task: str, given: Mapping[str, Any]) -> None:
    """Fields that have one of a few values, or are whole numbers.

    Raises:
        TaskError: one that is something else.
    """
    for name, known in CHOICES.items():
        if given.get(name, known[0]) not in known:
            raise TaskError(f"task {task}: " + unknown(name, str(given[name]), known))
    for name, least in LEAST.items():
        value = given.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise TaskError(f"task {task}: {name} is {value!r}; it must be a whole number from {least} on.")
