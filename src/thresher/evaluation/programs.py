"""Programs judged by their tests: pass@1 of what a model writes, each run in a sandbox."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import sandbox
from thresher.evaluation.outcome import Outcome, mean_of
from thresher.evaluation.sandbox import GUARDS, Verdict
from thresher.evaluation.task import Task
from thresher.evaluation.writing import write
from thresher.models.load import Opened
from thresher.models.served import Served

_BLOCK = re.compile(r"```[ \t]*(?:python|py|python3)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


def score(opened: Opened | Served, task: Task, target: Pool) -> Outcome:
    """Share of programs that pass all of their row's tests: of one a row, or of `samples`.

    Source: HumanEval, Chen et al. 2021, arXiv:2107.03374 (columns `tests`, `entry_point`); MBPP, Austin et al. 2021,
            arXiv:2108.07732 (columns `tests`, `setup`).
    Differs: greedy unless the task says otherwise; pass@1 of several samples is their share, which is its estimator.

    Raises:
        TaskError: without leave to run programs; rows without tests; no way to run them safely here.
    """
    if not task.run_programs:
        raise TaskError(
            f"task {task.task} runs programs that a model wrote, in a sandbox. Say that it may: --run-programs."
        )
    rows = [judged_by(row, name) for row, name in zip(target.origin(), target.ids(), strict=True)]
    heads = [row[-2]["content"] if len(row) > 1 else "" for row in target.messages()]
    written = write(opened, task, target)
    programs = [
        whole(text, heads[i // written.samples], rows[i // written.samples]) for i, text in enumerate(written.texts)
    ]
    verdicts = [sandbox.run(program) for program in programs]
    said = [f"{verdict.reason} {verdict.message}".strip()[:200] for verdict in verdicts]
    return mean_of(
        task.task, task.metric, written.rows([float(verdict.passed) for verdict in verdicts]),
        written.shown(verdict=said), (*written.notes, *_notes(verdicts)),
    )  # fmt: skip


def _notes(verdicts: Sequence[Verdict]) -> list[str]:
    """How the programs ended, and what kept them from the machine."""
    ended = Counter(verdict.reason for verdict in verdicts)
    notes = ["programs ended: " + ", ".join(f"{n} {reason}" for reason, n in ended.most_common())]
    held = set.intersection(*(set(verdict.guards) for verdict in verdicts)) if verdicts else set()
    missing = [guard for guard in GUARDS if guard not in held]
    notes.append(f"in a sandbox with its own {', '.join(guard for guard in GUARDS if guard in held) or 'user alone'}")
    if missing:
        notes.append(f"the sandbox could not be kept from the machine's {', '.join(missing)}")
    return notes


def judged_by(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A row's tests, what stands before them, and the function they call.

    Raises:
        TaskError: a row without tests.
    """
    tests = row.get("tests") or row.get("test_list") or row.get("test")
    if not tests:
        raise TaskError(f"row {name} has no column `tests`, the programs that judge what is written.")
    return {
        "tests": [tests] if isinstance(tests, str) else list(tests),
        "setup": str(row.get("setup") or row.get("test_setup_code") or ""),
        "entry_point": str(row.get("entry_point") or ""),
    }


def whole(written: str, prompt: str, row: Mapping[str, Any]) -> str:
    """The program that is run: what was written, completed where it goes on from the prompt, and its tests.

    Where the tests call an `entry_point` that what was written does not define, the prompt is the head of the program
    (HumanEval); where it does, the prompt stands before it for its imports and helpers.
    """
    code, entry = code_in(written), row["entry_point"]
    if entry and re.search(rf"^\s*def\s+{re.escape(entry)}\b", code, re.MULTILINE):
        code = f"{_head(prompt)}\n\n{code}"  # the last definition counts
    elif entry:
        code = f"{prompt}{'' if prompt.endswith(chr(10)) else chr(10)}{code}"
    call = [f"check({entry})"] if entry else []
    return "\n\n".join([row["setup"], code, *row["tests"], *call]) + "\n"


def _head(prompt: str) -> str:
    """A prompt that is the head of a function, made whole; nothing of one in plain words."""
    try:
        ast.parse(head := f"{prompt}\n    pass\n")
    except (SyntaxError, ValueError):
        return ""
    return head


def code_in(written: str) -> str:
    """The first fenced block, or all of it."""
    found = _BLOCK.search(written)
    return found.group(1) if found else written


def pass_at(k: int, n: Sequence[int], right: Sequence[int]) -> float:
    """The chance that one of k programs passes, from n samples a row of which some are right, without bias.

        mean over rows of  1 - C(n - c, k) / C(n, k)

    Source: Chen et al. 2021, arXiv:2107.03374.

    Raises:
        TaskError: fewer than k samples of a row.
    """
    if min(n, default=0) < k or k < 1:
        raise TaskError(f"pass@{k} needs at least {max(k, 1)} programs of every row, not {min(n, default=0)}.")
    chances = [
        1.0 if all_ - c < k else 1.0 - float(np.prod(1.0 - k / np.arange(all_ - c + 1, all_ + 1)))
        for all_, c in zip(n, right, strict=True)
    ]
    return float(np.mean(chances))
