"""IFEval: does an answer keep to the rules of its prompt? Each rule is checked by a program, none by a model.

prompt_strict  share of rows whose answer keeps every one of its rules
prompt_loose   the same where one of eight readings of the answer will do: without its first line, its last line, both,
               and each of these without asterisks
rule_strict    share of all rules that are kept (a row's value is its share; the score counts each rule once)
rule_loose     the same, loosely

Source:  Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models", arXiv:2311.07911.
Differs: the rules are our own writing (`evaluation.rules`); they are compared with lm-evaluation-harness's in
         tests/parity. Sentences are split by the Punkt algorithm with a list of abbreviations instead of its trained
         parameters, which would have to be downloaded. A "letter" that is none, such as #, is counted as it is; the
         harness and the authors' code count a letter they draw instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import corpus, rules
from thresher.evaluation.outcome import Outcome, mean_of, together
from thresher.evaluation.task import Task
from thresher.evaluation.writing import write
from thresher.models.load import Opened
from thresher.models.served import Served


def score(opened: Opened | Served, task: Task, target: Pool) -> Outcome:
    """The task's metrics of what was written.

    Raises:
        TaskError: a row without rules, a rule that is not known, or one whose values are missing.
    """  # noqa: DOC502
    wanted = [rules_of(task.task, row, name) for row, name in zip(target.origin(), target.ids(), strict=True)]
    rules.require([name for row in wanted for name, _ in row])
    written = write(opened, task, target)
    of_texts = [row for row in wanted for _ in range(written.samples)]
    kept = {
        "strict": [strict(text, row) for text, row in zip(written.texts, of_texts, strict=True)],
        "loose": [loose(text, row) for text, row in zip(written.texts, of_texts, strict=True)],
    }
    named = [" ".join(name for (name, _), good in zip(row, hit, strict=True) if good) or "none"
             for row, hit in zip(of_texts, kept["strict"], strict=True)]  # fmt: skip
    outcomes = []
    for metric in task.named:
        level, way = metric.split("_")
        if level == "prompt":
            outcomes.append(mean_of(task.task, metric, written.rows([float(all(hit)) for hit in kept[way]])))
        else:
            sums = written.rows([float(sum(hit)) for hit in kept[way]])
            outcomes.append(corpus.ratio(task.task, metric, sums, np.array([len(row) for row in wanted])))
    first, *more = outcomes
    examples = written.shown(kept=named)
    return together([Outcome(**{**vars(first), "examples": examples, "notes": written.notes}), *more])


def rules_of(task: str, row: Mapping[str, Any], name: str) -> list[tuple[str, dict[str, Any]]]:
    """A row's rules with their values.

    Raises:
        TaskError: it has none, or one that is not known.
    """
    names, values = row.get("instruction_id_list"), row.get("kwargs")
    if not isinstance(names, list) or not names or not isinstance(values, list) or len(names) != len(values):
        raise TaskError(
            f"task {task}: row {name} needs the columns instruction_id_list and kwargs, lists of the same length."
        )
    pairs = zip(names, values, strict=True)
    found = [(str(one), {k: v for k, v in (of or {}).items() if v is not None}) for one, of in pairs]
    for one, of in found:
        rules.check_values(f"task {task}: row {name}", one, of)
    return found


def strict(text: str, wanted: Sequence[tuple[str, Mapping[str, Any]]]) -> list[bool]:
    """Which rules the answer keeps; an empty one keeps none."""
    return [bool(text.strip()) and rules.kept(name, text, values) for name, values in wanted]


def loose(text: str, wanted: Sequence[tuple[str, Mapping[str, Any]]]) -> list[bool]:
    """Which rules one of the answer's eight readings keeps."""
    lines = text.split("\n")
    readings = [text, *("\n".join(some).strip() for some in (lines[1:], lines[:-1], lines[1:-1]))]
    readings += [reading.replace("*", "") for reading in readings]
    return [
        any(reading.strip() and rules.kept(name, reading, values) for reading in readings) for name, values in wanted
    ]
