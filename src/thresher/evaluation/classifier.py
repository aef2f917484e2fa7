"""What a local classifier thinks of what a model writes."""

from __future__ import annotations

from thresher.core.pool import Pool
from thresher.core.suggest import unknown
from thresher.errors import TaskError
from thresher.evaluation.judges import open_judge
from thresher.evaluation.outcome import Outcome, mean_of
from thresher.evaluation.task import Task
from thresher.evaluation.writing import write
from thresher.models.load import Opened
from thresher.models.served import Served


def score(opened: Opened | Served, task: Task, target: Pool) -> Outcome:
    """Mean over prompts of the judge's probability that the continuation is of the class named.

    A row of plain text is a prompt to be gone on with. The mean over a row's samples: the expected maximum over
    many of them, which work on detoxification reports, is another measure.

    Raises:
        TaskError: a judge that cannot be opened, or that does not know the class.
    """
    assert task.judge is not None, "the task says so"
    assert task.judged is not None, "the task says so"
    judge = open_judge(task.judge, trust_pickle=task.trust_pickle)
    if task.judged not in judge.classes:
        raise TaskError(f"task {task.task}: " + unknown("class of the judge", task.judged, judge.classes))
    written = write(opened, task, target)
    values = judge.probability(written.texts)[:, judge.classes.index(task.judged)]
    examples = written.shown(judged=[f"{value:.4f}" for value in values])
    return mean_of(task.task, task.metric, written.rows(values), examples, written.notes)
