"""Task files: which rows, how they are asked, what is scored, and how an answer is found in what a model writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from thresher.core import plain_yaml
from thresher.core.pool import Pool
from thresher.core.suggest import unknown
from thresher.errors import TaskError
from thresher.evaluation import answers, checks, packaged
from thresher.evaluation.known import MEASURES

Several = str | tuple[str, ...]
SEVERAL = ("metrics", "extract", "normalise", "stop", "only", "choices")  # one value, or a list of them


@dataclass(frozen=True, kw_only=True)
class Task:
    r"""One YAML file.

    task: svamp
    data: svamp.test.jsonl.gz          beside the task file, or given on the command line: a file, or its folder
    measure: exact_match               a line of `evaluation.known`
    prompt: "Question: {question}"     the row's columns in words; without one, the row as it was read
    extract: '####\\s*(-?[\\d.,]+)'    the answer in what was written: first group of the last match
    answer: answer                     column of the right answer; without one, `extract` is used on the reference
    shots: 4                           worked examples before each row, out of `shots_from`

    `like: NAME` (a packaged task, or a file beside this one) takes every field that is not in this file from there.
    """

    task: Annotated[str, "its name"]
    data: Annotated[str, "pool file of the test rows"]
    measure: Annotated[str, "what is scored"]
    metrics: Annotated[Several, "which of the measure's numbers; the first is the one that decides"] = ()
    format: Annotated[Literal["chat", "plain"], "the model's template, or the bare words"] = "chat"
    rows_as: Annotated[str | None, "format that the test rows are read as, where it is not to be guessed"] = None
    prompt: Annotated[str | None, "what is asked: text with {column}s in it"] = None
    response: Annotated[str | None, "the whole right answer as text with {column}s: for shots and losses"] = None
    system: Annotated[str | None, "a system turn before everything"] = None
    separator: Annotated[str, "plain format: what stands between a prompt and its answer"] = "\n"
    shots: Annotated[int, "worked examples before each row"] = 0
    shots_from: Annotated[str | None, "pool file of the examples; never the test rows"] = None
    shots_drawn: Annotated[Literal["first", "random"], "the first ones, or drawn with `seed`"] = "first"
    shots_of: Annotated[Literal["all", "group"], "from all examples, or from those of the row's own group"] = "all"
    between: Annotated[str, "plain format: what stands between two examples"] = "\n\n"
    extract: Annotated[Several, "regular expressions, the first that is found counts; group 1 is it"] = ()
    take: Annotated[Literal["last", "first"], "which match of it"] = "last"
    normalise: Annotated[Several, "rules of `evaluation.answers`, in turn"] = ("text",)
    answer: Annotated[str | None, "column that holds the right answer"] = None
    answer_is: Annotated[Literal["text", "index"], "multiple choice: the choice, or its place from 0"] = "text"
    choices: Annotated[Several, "column of the choices, or the choices themselves"] = ()
    groups: Annotated[str | None, "column whose groups are also scored apart"] = None
    only: Annotated[Several, "groups that are kept"] = ()
    average: Annotated[Literal["rows", "groups"], "the score: mean over rows, or mean of the groups' means"] = "rows"
    encoder: Annotated[str | None, "bert_score: an encoder, a folder or package:NAME"] = None
    layer: Annotated[int | None, "bert_score: whose states are compared; none: the last"] = None
    baseline: Annotated[str | None, "bert_score: file that its numbers are rescaled with"] = None
    judge: Annotated[str | None, "classifier that reads what is written: `evaluation.judges` says which"] = None
    judged: Annotated[str | None, "its class whose probability is scored"] = None
    wanted: Annotated[bool, "whether that class is a good one"] = False
    trust_pickle: Annotated[bool, "open a judge that can run any code"] = False
    run_programs: Annotated[bool, "programs: run what the model wrote, in a sandbox"] = False
    stop: Annotated[Several, "texts that end an answer"] = ()
    max_new_tokens: Annotated[int, "of a written answer"] = 128
    temperature: Annotated[float, "0: always the likeliest token"] = 0.0
    top_p: Annotated[float, "sampling: among the likeliest tokens of this probability together"] = 1.0
    samples: Annotated[int, "answers a row; its value is their mean"] = 1
    engine: Annotated[Literal["transformers", "vllm"], "what writes; vllm needs a GPU and its extra"] = "transformers"
    max_tokens: Annotated[int, "window"] = 2048
    over_window: Annotated[Literal["refuse", "cut"], "a prompt that leaves no room: stop, or cut its beginning"] = (
        "refuse"
    )
    limit: Annotated[int | None, "at most so many test rows, drawn with `seed`"] = None
    seed: int = 0

    def __post_init__(self) -> None:
        """One value stands for a list of it."""
        for name in SEVERAL:
            value = getattr(self, name)
            if name != "choices" and isinstance(value, str):
                object.__setattr__(self, name, (value,))
            elif value is None:
                object.__setattr__(self, name, ())

    @property
    def metric(self) -> str:
        """The name, in results tables, of the metric that decides."""
        return self.named[0]

    @property
    def named(self) -> tuple[str, ...]:
        """Every metric that is reported, the one that decides first."""
        if self.measure == "classifier":
            return ("wanted",) if self.wanted else ("unwanted",)
        return tuple(self.metrics) or MEASURES[self.measure].metrics[:1]

    @property
    def reading(self) -> str | None:
        """The format its rows are read as: any columns will do where a prompt says what is made of them."""
        return self.rows_as or ("columns" if self.prompt is not None or self.measure == "ifeval" else None)

    @classmethod
    def find(cls, name: str) -> Task:
        """A task file by path, or a packaged task by name.

        Raises:
            TaskError: there is neither.
        """
        if Path(name).suffix in (".yaml", ".yml") or Path(name).is_file():
            return cls.read(Path(name))
        return cls.from_dict(packaged.values(name))

    @classmethod
    def read(cls, path: Path) -> Task:
        """A task file; its data path is taken from the file's own folder.

        Raises:
            TaskError: missing, not YAML, unknown field or value.
        """
        try:
            values = plain_yaml.read(path)
        except FileNotFoundError:
            raise TaskError(
                f"there is no task file {path}. With the package come {', '.join(packaged.names())}."
            ) from None
        except (plain_yaml.BadYaml, OSError) as error:
            raise TaskError(f"{path}: {error}.") from None
        if values.get("run_programs"):
            raise TaskError(f"{path}: no file gives leave to run programs; say --run-programs on the command line.")
        try:
            return cls.from_dict(values, folder=path.parent)
        except TaskError as error:
            raise TaskError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, folder: Path | None = None) -> Task:
        """A task from plain values.

        Raises:
            TaskError: an unknown field or value, or one that is missing.
        """
        folder = folder or Path()
        values = packaged.merged(dict(values), folder)
        home = values.pop("data_in", None)
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise TaskError("task: " + unknown("field", str(name), [*known, "like"]))
        for name in ("task", "data", "measure"):
            if not values.get(name):
                raise TaskError(f"task: the field {name!r} is missing. Needed: task, data, measure (or like).")
        if values["measure"] not in MEASURES:
            raise TaskError("task: " + unknown("measure", str(values["measure"]), MEASURES))
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        checks.values(str(values["task"]), values)
        task = cls(**values)
        checks.check(task)
        beside: dict[str, Any] = {
            name: str(folder / getattr(task, name)) for name in ("judge", "data", "shots_from", "baseline")
            if getattr(task, name) is not None and (folder / getattr(task, name)).exists()
        }  # fmt: skip
        task = replace(task, **beside)
        return task if home is None else task.at(str(folder / home) if (folder / home).exists() else str(home))

    def at(self, data: str) -> Task:
        """The same task on other data: a file, or a folder that holds the files the task names."""
        folder = Path(data)
        if not folder.is_dir() or not (folder / Path(self.data).name).exists():
            return replace(self, data=data)
        moved = replace(self, data=str(folder / Path(self.data).name))
        if self.shots_from is not None and (folder / Path(self.shots_from).name).exists():
            moved = replace(moved, shots_from=str(folder / Path(self.shots_from).name))
        return moved

    def rows(self, pool: Pool) -> Pool:
        """The test rows that are scored, in the file's order: of `only` these groups, all or a seeded `limit`.

        Raises:
            TaskError: `only` names a group that no row is of, or nothing is left.
        """
        if self.only:
            names = answers.column(self.task, pool, str(self.groups))
            for name in self.only:
                if name not in names:
                    raise TaskError(f"task {self.task}: " + unknown("group", name, set(names)))
            pool = pool.take(np.flatnonzero(np.isin(names, self.only)))
        if self.limit is None or self.limit >= len(pool):
            return pool
        rng = np.random.default_rng([self.seed, 0x7E57])
        return pool.take(np.sort(rng.permutation(len(pool))[: self.limit]))

    def references(self, pool: Pool) -> list[str]:
        """(n,) the right answers.

        Raises:
            TaskError: the column is missing or an answer is empty.
        """
        return answers.references(self, pool)

    def extracted(self, written: str) -> str:
        """The answer in a text; empty where there is none."""
        return answers.extracted(written, self.extract, self.take)

    def comparable(self, answer: str) -> str:
        """An answer as it is compared."""
        return answers.comparable(answer, self.normalise)
