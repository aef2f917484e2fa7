"""What a local classifier thinks of what a model writes."""

from __future__ import annotations

import numpy as np

from thresher.core.pool import Pool
from thresher.core.suggest import unknown
from thresher.data.chat import prompt_ids
from thresher.errors import TaskError
from thresher.evaluation.judges import open_judge
from thresher.evaluation.outcome import Outcome, mean_of
from thresher.evaluation.task import Task
from thresher.models.generate import generate
from thresher.models.load import Opened

SHOWN = 3  # texts kept for the eye


def score(opened: Opened, task: Task, target: Pool) -> Outcome:
    """Mean over prompts of the judge's probability that the continuation is of the class named; greedy decoding.

    A row of plain text is a prompt to be gone on with. One continuation a prompt: the expected maximum over many
    sampled ones, which work on detoxification reports, is another measure.

    Raises:
        TaskError: a judge that cannot be opened, or that does not know the class.
    """
    assert task.judge is not None, "the task says so"
    assert task.judged is not None, "the task says so"
    judge = open_judge(task.judge, trust_pickle=task.trust_pickle)
    if task.judged not in judge.classes:
        raise TaskError(f"task {task.task}: " + unknown("class of the judge", task.judged, judge.classes))
    heads = [row if row[-1]["role"] == "text" else row[:-1] for row in target.messages()]
    prompts = prompt_ids(heads, opened.tokenizer, plain=task.format == "plain")
    written = generate(opened, prompts, max_new_tokens=task.max_new_tokens, stop=list(task.stop))
    values = judge.probability(written)[:, judge.classes.index(task.judged)]
    examples = tuple(
        {"written": text[:400], "judged": f"{value:.4f}"}
        for text, value in list(zip(written, values, strict=True))[:SHOWN]
    )
    return mean_of(task.task, task.metric, np.asarray(values, np.float64), examples)
