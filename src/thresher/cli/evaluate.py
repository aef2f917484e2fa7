"""Score a model on tasks, with standard errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thresher.cli import _options as options

if TYPE_CHECKING:
    from thresher.core.cost import Receipt
    from thresher.evaluation.outcome import Outcome
    from thresher.evaluation.task import Task


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
@click.option("--dtype", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@options.fields
@options.trust
@options.store
@options.as_json
def command(
    model: str, tasks: tuple[str, ...], harness: str | None, harness_tasks: Path | None, data: str | None,
    limit: int | None, shots: int | None, form: str | None, run_programs: bool, examples: bool, dtype: str,
    overrides: tuple[str, ...], trust_remote_code: bool, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Score MODEL on one or several tasks; --set FIELD=VALUE changes a field of them."""
    from thresher.errors import TaskError
    from thresher.models import load

    if not tasks and harness is None:
        raise TaskError("nothing to score on: name a --task (TASK.yaml, or gsm8k, mmlu, ...) or a --harness task.")
    changes = options.set_fields(overrides)
    changes |= {k: v for k, v in (("limit", limit), ("shots", shots)) if v is not None}
    if run_programs:
        changes["run_programs"] = True
    read = [_changed(name, data, changes) for name in tasks]
    root = options.store_of(store).root
    path = load.resolve(model, cache=root, trust_remote_code=trust_remote_code)
    found = []
    if not as_json:
        options.echo(f"{'task':20} {'form':5} {'metric':24} score")
    for form_, outcome, receipt in _scored(path, read, form, root, dtype):
        found += _lines(outcome, form_, receipt, as_json=as_json, examples=examples)
    if harness is not None:
        found += _of_harness(path, harness, harness_tasks, limit, shots, form, dtype, as_json=as_json)
    if as_json:
        options.print_json(found)


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


def _scored(
    path: str, tasks: list[Task], form: str | None, cache: Path, dtype: str
) -> Iterator[tuple[str, Outcome, Receipt]]:
    from dataclasses import replace

    from thresher.scoring import score

    for task in tasks:
        for one in ("chat", "plain") if form == "both" else (form or task.format,):
            yield one, *score(path, replace(task, format=one), cache=cache, dtype=dtype)


def _of_harness(
    path: str, names: str, folder: Path | None, limit: int | None, shots: int | None, form: str | None, dtype: str, *,
    as_json: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    from thresher.evaluation import harness
    from thresher.models.load import open_model

    found = []
    for one in ("chat", "plain") if form == "both" else (form or "plain",):
        outcomes, receipt = harness.run(
            open_model(path, dtype=dtype), [name.strip() for name in names.split(",")], folder=folder, limit=limit,
            shots=shots, format=one,
        )  # fmt: skip
        for outcome in outcomes:
            found += _lines(outcome, one, receipt, as_json=as_json, examples=False)
    return found


def _lines(
    outcome: Outcome, form: str, receipt: Receipt, *, as_json: bool, examples: bool
) -> list[dict[str, Any]]:
    """Each metric as JSON, and printed; the bill is that of all of them together."""
    found = []
    for one in outcome.all():
        bill = {"flops": receipt.flops, "seconds": receipt.seconds}
        shown = {"examples": list(one.examples)} if examples and one.examples else {}
        found.append({**one.in_words(), "format": form, **bill, **shown})
        if as_json:
            continue
        se = "" if found[-1]["score_se"] is None else f" +- {one.score_se:.4f}"
        options.echo(f"{one.task:20} {form:5} {one.metric:24} {one.score:.4f}{se}  ({one.n} rows)")
        for name, (score, _, n) in one.groups.items():
            options.echo(f"  {name:42}  {score:.4f}  ({n} rows)")
        for example in one.examples if examples else ():
            options.echo("  " + "; ".join(f"{key}: {value!r}" for key, value in example.items()))
    return found
