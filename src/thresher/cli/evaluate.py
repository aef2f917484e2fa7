"""Score a model on tasks, with standard errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thresher.cli import _options as options

if TYPE_CHECKING:
    from thresher.core.cost import Receipt
    from thresher.evaluation.outcome import Outcome
    from thresher.evaluation.task import Task
    from thresher.planning.results import Run
    from thresher.tabled import Table


@click.command(name="evaluate")
@click.argument("model")
@click.option(
    "--task", "tasks", multiple=True, metavar="TASK",
    help="A task file, or one that comes with the package: gsm8k, mmlu, ... Several are scored in turn.",
)
@click.option("--harness", metavar="TASK,...", help="Tasks of lm-evaluation-harness, with its own prompts and scores.")
@click.option("--harness-tasks", type=Path, metavar="FOLDER", help="Task files of your own for the harness.")
@click.option("--data", metavar="FILE", help="Test rows, instead of the task file's own; or the folder they are in.")
@click.option("--limit", type=int, help="At most so many test rows, drawn with the task's seed (harness: the first).")
@click.option("--shots", type=int, help="Worked examples before each row.")
@click.option("--format", "form", type=click.Choice(["chat", "plain", "both"]),
              help="The model's chat template, the bare words, or one after the other [the task's; harness: plain].")
@click.option("--run-programs", is_flag=True, help="Run programs that the model writes, in a sandbox.")
@click.option("--examples", is_flag=True, help="Show the first answers as they were written.")
@click.option("--results", type=Path, metavar="FILE",
              help="Put the scores into this results table (.csv, .parquet) that `thresher frontier` reads.")
@click.option("--selection", type=Path, metavar="DIR",
              help="With --results: the selection that MODEL was trained on, for what choosing it cost.")
@click.option("--method", metavar="NAME",
              help="With --results: what MODEL's lines are called [the selection's method; untrained: zero-shot].")
@click.option("--dtype", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@options.fields
@options.trust
@options.store
@options.as_json
def command(
    model: str, tasks: tuple[str, ...], harness: str | None, harness_tasks: Path | None, data: str | None,
    limit: int | None, shots: int | None, form: str | None, run_programs: bool, examples: bool,
    results: Path | None, selection: Path | None, method: str | None, dtype: str, overrides: tuple[str, ...],
    trust_remote_code: bool, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Score MODEL on one or several tasks; --set FIELD=VALUE changes a field of them."""
    from thresher import tabled
    from thresher.errors import ResultsError, TaskError
    from thresher.models import load

    if not tasks and harness is None:
        raise TaskError("nothing to score on: name a --task (TASK.yaml, or gsm8k, mmlu, ...) or a --harness task.")
    if results is None and (selection is not None or method is not None):
        raise ResultsError("--selection and --method say what stands in a results table: name one with --results FILE.")
    changes = options.set_fields(overrides)
    changes |= {k: v for k, v in (("limit", limit), ("shots", shots)) if v is not None}
    if run_programs:
        changes["run_programs"] = True
    read = [_changed(name, data, changes) for name in tasks]
    root = options.store_of(store).root
    path = load.resolve(model, cache=root, trust_remote_code=trust_remote_code)
    table = None if results is None else tabled.Table.open(results, model, path, selection=selection, method=method)
    found: list[dict[str, Any]] = []
    for one in _all(path, read, form, root, dtype, harness, harness_tasks, limit, shots):
        if not as_json and not found:
            options.echo(f"{'task':20} {'form':5} {'metric':24} score")
        found += _lines(one, as_json=as_json, examples=examples)
        if table is not None:
            _say(table, table.add(one.outcome, aside=one.aside, engine=one.engine))
    if as_json:
        options.print_json(found)


@dataclass(frozen=True)
class _Scored:
    """One task in one form; `aside` names a form that is not the task's own."""

    outcome: Outcome
    receipt: Receipt
    form: str
    aside: str
    engine: str = ""


def _changed(name: str, data: str | None, changes: dict[str, Any]) -> Task:
    """The task with other data and other values in some fields."""
    from dataclasses import asdict

    from thresher.evaluation.task import Task

    task = Task.find(name)
    if changes:
        kept = {key: value for key, value in asdict(task).items() if value is not None}
        if changes.get("measure", task.measure) != task.measure:
            kept.pop("metrics")
        task = Task.from_dict(kept | changes)
    return task.at(data) if data else task


def _all(
    path: str, tasks: list[Task], form: str | None, cache: Path, dtype: str, harness: str | None, folder: Path | None,
    limit: int | None, shots: int | None,
) -> Iterator[_Scored]:  # fmt: skip
    """Every task in every form that was asked for, as it is scored; those of the harness last."""
    from dataclasses import replace

    from thresher.scoring import score

    for task in tasks:
        for one in _forms(form, task.format):
            outcome, receipt = score(path, replace(task, format=one), cache=cache, dtype=dtype)
            yield _Scored(outcome, receipt, one, "" if one == task.format else f":{one}")
    if harness is None:
        return
    from thresher.evaluation import harness as engine
    from thresher.models.load import open_model

    names = [name.strip() for name in harness.split(",")]
    for one in _forms(form, "plain"):
        outcomes, receipt = engine.run(
            open_model(path, dtype=dtype), names, folder=folder, limit=limit, shots=shots, format=one
        )
        for outcome in outcomes:
            yield _Scored(outcome, receipt, one, "" if one == "plain" else f":{one}", "harness")


def _forms(asked: str | None, own: str) -> tuple[str, ...]:
    return ("chat", "plain") if asked == "both" else (asked or own,)


def _say(table: Table, replaced: list[Run]) -> None:
    for old in replaced:
        options.echo(
            f"{table.path}: the line of {old.method}, {old.task} {old.metric} was there ({old.score:.4f}) and is "
            "replaced", err=True,
        )  # fmt: skip


def _lines(scored: _Scored, *, as_json: bool, examples: bool) -> list[dict[str, Any]]:
    """Each metric as JSON, and printed; the bill is that of all of them together."""
    found = []
    for one in scored.outcome.all():
        bill = {"flops": scored.receipt.flops, "seconds": scored.receipt.seconds}
        shown = {"examples": list(one.examples)} if examples and one.examples else {}
        found.append({**one.in_words(), "format": scored.form, **bill, **shown})
        if as_json:
            continue
        se = "" if found[-1]["score_se"] is None else f" +- {one.score_se:.4f}"
        options.echo(f"{one.task:20} {scored.form:5} {one.metric:24} {one.score:.4f}{se}  ({one.n} rows)")
        for name, (score, _, n) in one.groups.items():
            options.echo(f"  {name:42}  {score:.4f}  ({n} rows)")
        for example in one.examples if examples else ():
            options.echo("  " + "; ".join(f"{key}: {value!r}" for key, value in example.items()))
    return found
