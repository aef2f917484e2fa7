"""Scores as lines of a results table; what a model cost is read from the folders that choosing and training left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from thresher import methods
from thresher.core.store import writing
from thresher.errors import ResultsError
from thresher.evaluation.outcome import Outcome
from thresher.models import load
from thresher.planning import results as tables
from thresher.planning.results import EQUAL_EPOCHS, EQUAL_STEPS, Run
from thresher.training.origin import DONE

Known = dict[str, Any]
NAME = ("method", "scorer", "model", "pool", "protocol", "rows", "seed", "task", "metric")  # one line for each
MADE = ("train_tokens", "selection_flops", "training_flops")  # another model under the same name differs in them


@dataclass(frozen=True)
class Table:
    """A table file, and what the lines of one model say before it is scored."""

    path: Path
    known: Known

    @classmethod
    def open(cls, file: Path, name: str, path: str, *, selection: Path | None, method: str | None) -> Table:
        """A table that can be added to, and a model whose cost is known; both are looked at before anything is scored.

        Raises:
            ResultsError: the file is no table, or the model's rows or cost are not known.
        """  # noqa: DOC502
        existing(file)
        return cls(file, known_of(name, path, selection=selection, method=method))

    def add(self, outcome: Outcome, *, aside: str = "", engine: str = "") -> list[Run]:
        """Put a score's lines into the file; returns the lines that they replace."""
        return add(self.path, lines_of(self.known, outcome, aside=aside, before_task=f"{engine}:" if engine else ""))


def known_of(name: str, path: str, *, selection: Path | None, method: str | None) -> Known:
    """What a model's lines say before it is scored.

    Args:
        name: the model as the user named it.
        path: the same, resolved.
        selection: the folder that `thresher select` left, of a model that was trained on its rows.
        method: what its lines are called; None is the selection's method, or zero-shot.

    Raises:
        ResultsError: what it was trained on, or what that cost, is not known.
    """
    params = float(load.architecture(path).params)
    trained = Path(path) / DONE
    if trained.exists():
        return {"model_params": params, **_trained(name, json.loads(trained.read_text()), selection, method)}
    if selection is not None:
        raise ResultsError(
            f"{name} was not trained by `thresher train` (it has no {DONE}), so what training on {selection} cost is "
            "not known. Train it with `thresher train`, or leave --selection out: it then stands as a model that was "
            "trained on nothing here."
        )
    return {
        "method": method or "zero-shot", "model": name, "model_params": params, "fraction": 0.0, "rows": 0,
        "train_tokens": 0, "selection_flops": 0.0, "training_flops": 0.0, "selection_seconds": 0.0,
        "training_seconds": 0.0,
    }  # fmt: skip


def _trained(name: str, about: dict[str, Any], selection: Path | None, method: str | None) -> Known:
    if "data" not in about:
        raise ResultsError(
            f"{name} was trained by a thresher that did not yet note which rows it read. Train it again for a line in "
            "a results table."
        )
    files = [file for stage in about["data"] for file in stage]
    if selection is None:
        raise ResultsError(
            f"{name} was trained on {', '.join(file['file'] for file in files)}; a results table needs to know how "
            "much of which pool that is and what choosing it cost. Name the folder that `thresher select` left with "
            "--selection DIR (`thresher select full POOL` for a whole pool)."
        )
    card = _card(selection)
    stages = [i for i, stage in enumerate(about["data"]) if _is(stage, card)]
    if not stages:
        raise ResultsError(
            f"{name} was not trained on the rows of {selection}: it read "
            f"{', '.join(file['file'] for file in files)}. Name the selection whose selected.jsonl that was."
        )
    chosen, cost, receipt = card["chosen"], card["cost"]["measured"], about["receipt"]
    read = card["scorer"] or card["model"] if "scorer" in methods.get(card["method"]).needs else None
    protocol = EQUAL_EPOCHS if about["recipes"][stages[0]]["steps"] is None else EQUAL_STEPS
    several = {1: "", 2: ", two stages"}.get(len(about["data"]), f", {len(about['data'])} stages")
    return {
        "method": method or card["method"], "model": about["name"], "seed": about["seed"],
        "scorer": read["name"] if read else "", "scorer_params": float(read["params"]) if read else None,
        "fraction": chosen["rows"] / card["pool"]["rows"], "rows": chosen["rows"], "train_tokens": chosen["tokens"],
        "selection_flops": cost["selection_flops"], "selection_seconds": cost["selection_seconds"],
        "training_flops": receipt["flops"], "training_seconds": receipt["seconds"],
        "pool": card["pool"]["name"], "budget": card["budget"]["asked"], "protocol": protocol + several,
    }  # fmt: skip


def _card(selection: Path) -> dict[str, Any]:
    try:
        return json.loads((selection / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ResultsError(
            f"--selection: {selection} has no card.json that can be read; it is a folder that `thresher select` left, "
            "or one of a run's `selections`."
        ) from None


def _is(stage: Sequence[dict[str, Any]], card: dict[str, Any]) -> bool:
    return [file["sha256"] for file in stage] == [card["sha256"]["selected.jsonl"]]


def lines_of(known: Known, outcome: Outcome, *, aside: str = "", before_task: str = "") -> list[Run]:
    """Each metric as a line; `aside` stands behind the method's name, of a prompt form that is not the task's own.

    Raises:
        ResultsError: a score that is no finite number.
    """  # noqa: DOC502
    return [
        tables.checked(
            {**known, "method": known["method"] + aside, "task": before_task + one.task, "metric": one.metric,
             "score": one.score, "score_se": one.to_dict()["score_se"], "test_rows": one.n},
            f"{one.task} {one.metric}",
        )
        for one in outcome.all()
    ]  # fmt: skip


def existing(path: Path) -> tuple[Run, ...]:
    """The lines of a table that is to be added to; none where there is no file yet.

    Raises:
        ResultsError: it cannot be read, or has columns that would be lost.
    """
    if path.is_dir() or path.suffix not in (".csv", ".parquet"):
        raise ResultsError(f"--results {path}: a results table is a file that ends in .csv or .parquet.")
    if not path.exists():
        return ()
    found = tables.read(path).runs
    foreign = [one for one in tables.columns_of(path) if one not in tables.COLUMNS + tables.EXTRA]
    if foreign:
        raise ResultsError(
            f"{path} has columns that thresher does not know and would lose: {', '.join(foreign)}. Name another file; "
            "`thresher frontier` reads several together."
        )
    return found


def add(path: Path, lines: Sequence[Run]) -> list[Run]:
    """Put lines into a table, which is made where there is none; a model that is scored again has its lines replaced.

    Returns:
        The lines that were replaced.

    Raises:
        ResultsError: a line of the same name is of another model, or other lines were scored on other rows.
    """  # noqa: DOC502
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        new = {_name(line): line for line in lines}
        old = existing(path)
        replaced = [line for line in old if _name(line) in new]
        kept = [line for line in old if _name(line) not in new]
        for line in replaced:
            _same_model(path, line, new[_name(line)])
        for line in lines:
            _same_rows(path, line, kept)
        tables.write_file([*kept, *lines], path)
    return replaced


def _name(line: Run) -> tuple[Any, ...]:
    return tuple(getattr(line, column) for column in NAME)


def _same_model(path: Path, old: Run, new: Run) -> None:
    for column in MADE:
        was, now = getattr(old, column), getattr(new, column)
        if was is not None and was != now:
            raise ResultsError(
                f"{path} has a line of {old.method}, {old.rows} rows, seed {old.seed}, {old.task} {old.metric} that is "
                f"of another model: its {column} is {was:g}, here it is {now}. Train with another --seed, or give this "
                "model's lines a name of their own with --method."
            )


def _same_rows(path: Path, line: Run, kept: Sequence[Run]) -> None:
    """Scores on other test rows do not compare.

    Raises:
        ResultsError: they would.
    """
    for other in kept:
        alike = (other.task, other.metric, other.model) == (line.task, line.metric, line.model)
        if alike and other.test_rows is not None and other.test_rows != line.test_rows:
            raise ResultsError(
                f"{line.task} {line.metric} of {line.method} is {line.score:.4f} on {line.test_rows} test rows, but "
                f"{path} has {other.method} on {other.test_rows}: they do not compare. Score both on the same rows "
                "(--limit), or name another file."
            )
