"""Task files: which rows, which measure, how answers are found in what a model writes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml

from thresher.core.pool import Pool
from thresher.core.suggest import unknown
from thresher.errors import TaskError

Measure = Literal["held_out", "exact_match", "multiple_choice", "classifier"]
METRIC = {
    "held_out": "loss", "exact_match": "exact_match", "multiple_choice": "accuracy", "classifier": "unwanted",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Task:
    r"""One YAML file.

    task: svamp
    data: svamp.test.jsonl.gz          beside the task file, or given on the command line
    measure: exact_match               held_out | exact_match | multiple_choice
    extract: '####\\s*(-?[\\d.,]+)'    the answer in what was written: first group of the last match
    answer: answer                     column of the right answer; without one, `extract` is used on the reference
    """

    task: Annotated[str, "its name"]
    data: Annotated[str, "pool file of the test rows"]
    measure: Annotated[Measure, "what is scored"]
    format: Annotated[Literal["chat", "plain"], "the model's template, or the bare words"] = "chat"
    rows_as: Annotated[str | None, "format that the test rows are read as, where it is not to be guessed"] = None
    extract: Annotated[str | None, "regular expression; its first group in the last match is the answer"] = None
    normalise: Annotated[Literal["text", "number", "letter"], "how two answers are compared"] = "text"
    answer: Annotated[str | None, "column that holds the right answer"] = None
    choices: Annotated[str | tuple[str, ...], "column of the choices, or the choices themselves"] = ()
    by: Annotated[Literal["sum", "token"], "likelihood of a choice: whole, or per token"] = "sum"
    judge: Annotated[str | None, "classifier that reads what is written: `evaluation.judges` says which"] = None
    judged: Annotated[str | None, "its class whose probability is scored"] = None
    wanted: Annotated[bool, "whether that class is a good one"] = False
    trust_pickle: Annotated[bool, "open a judge that can run any code"] = False
    stop: Annotated[tuple[str, ...], "texts that end an answer"] = ()
    max_new_tokens: Annotated[int, "of a written answer"] = 128
    max_tokens: Annotated[int, "window"] = 2048
    limit: Annotated[int | None, "at most so many test rows, drawn with `seed`"] = None
    seed: int = 0

    @property
    def metric(self) -> str:
        """The metric's name in results tables."""
        return "wanted" if self.wanted else METRIC[self.measure]

    @classmethod
    def read(cls, path: Path) -> Task:
        """A task file; its data path is taken from the file's own folder.

        Raises:
            TaskError: missing, not YAML, unknown field or value.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TaskError(f"there is no task file {path}.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise TaskError(f"{path} is not YAML: {error}.") from None
        if not isinstance(values, dict):
            raise TaskError(f"{path} must be a mapping of field names to values.")
        return cls.from_dict(values, folder=path.parent)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, folder: Path | None = None) -> Task:
        """A task from plain values.

        Raises:
            TaskError: an unknown field or value, or one that is missing.
        """
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise TaskError("task: " + unknown("field", str(name), known))
        for name in ("task", "data", "measure"):
            if not values.get(name):
                raise TaskError(f"task: the field {name!r} is missing. Needed: task, data, measure.")
        if values["measure"] not in METRIC:
            raise TaskError("task: " + unknown("measure", str(values["measure"]), METRIC))
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        task = cls(**values)
        task._check()
        if task.judge is not None and ((folder or Path()) / task.judge).exists():
            task = replace(task, judge=str((folder or Path()) / task.judge))
        beside = (folder or Path()) / task.data
        return task.at(str(beside)) if beside.exists() else task

    def _check(self) -> None:
        if self.extract is not None:
            try:
                groups = re.compile(self.extract).groups
            except re.error as error:
                raise TaskError(f"task {self.task}: extract is not a regular expression: {error}.") from None
            if groups < 1:
                raise TaskError(f"task {self.task}: extract needs one group in brackets around the answer.")
        if self.measure == "multiple_choice" and not self.choices:
            raise TaskError(f"task {self.task}: multiple_choice needs `choices`: a column, or a list.")
        if (self.measure == "classifier") != (self.judge is not None and self.judged is not None):
            raise TaskError(f"task {self.task}: `judge` and `judged` (its class) belong to the measure classifier.")

    def at(self, data: str) -> Task:
        """The same task on other data."""
        return Task(**{f.name: getattr(self, f.name) for f in fields(self)} | {"data": data})

    def rows(self, pool: Pool) -> Pool:
        """The test rows that are scored: all, or a seeded draw of `limit`, in the file's order."""
        if self.limit is None or self.limit >= len(pool):
            return pool
        rng = np.random.default_rng([self.seed, 0x7E57])
        return pool.take(np.sort(rng.permutation(len(pool))[: self.limit]))

    def references(self, pool: Pool) -> list[str]:
        """(n,) the right answers.

        Raises:
            TaskError: the column is missing or an answer is empty.
        """
        if self.answer is None:
            found = [self.extracted(text) for text in pool.answer()]
        else:
            rows = list(pool.origin())
            if rows and self.answer not in rows[0]:
                raise TaskError(
                    f"task {self.task}: {pool.name} has no column {self.answer!r}; it has {', '.join(rows[0])}."
                )
            found = [str(row.get(self.answer) if row.get(self.answer) is not None else "") for row in rows]
        for number, text in enumerate(found):
            if not self.comparable(text):
                raise TaskError(
                    f"task {self.task}: row {pool.table['id'][number]} of {pool.name} has no reference answer. "
                    "Mend the row, or name the column with `answer`."
                )
        return found

    def extracted(self, written: str) -> str:
        """The answer in a text; empty where there is none."""
        if self.extract is None:
            return written.strip()
        found = re.findall(self.extract, written)
        last = found[-1] if found else ""
        return (last if isinstance(last, str) else last[0]).strip()

    def comparable(self, answer: str) -> str:
        """An answer as it is compared."""
        if self.normalise == "number":
            return number(answer)
        if self.normalise == "letter":
            letters = re.findall(r"[A-Za-z]", answer)
            return letters[0].upper() if letters else ""
        return " ".join(answer.split()).casefold()


def number(text: str) -> str:
    """A number without its dress: 1,200.00 and $1200 are the same; empty where there is none."""
    found = re.search(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+", text.replace("$", ""))
    if found is None:
        return ""
    value = float(found.group().replace(",", ""))
    return str(int(value)) if value == int(value) else repr(value)
