"""Score a model on tasks, with standard errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from thresher.cli import _options as options


@click.command(name="evaluate")
@click.argument("model")
@click.option(
    "--task", "tasks", required=True, multiple=True, type=Path, metavar="TASK.yaml", help="Several are scored in turn."
)
@click.option("--data", metavar="FILE", help="Test rows, instead of the task file's own.")
@click.option("--limit", type=int, help="At most so many test rows, drawn with the task's seed.")
@click.option("--dtype", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@options.trust
@options.store
@options.as_json
def command(
    model: str, tasks: tuple[Path, ...], data: str | None, limit: int | None, dtype: str, trust_remote_code: bool,
    store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Score MODEL on one or several task files."""
    from thresher.data.read import load_pool
    from thresher.evaluation.measures import evaluate
    from thresher.evaluation.task import Task
    from thresher.models import load

    root = options.store_of(store).root
    read = [Task.read(path) for path in tasks]
    path = load.resolve(model, cache=root, trust_remote_code=trust_remote_code)
    found = []
    for task in read:
        task = task.at(data) if data else task
        task = replace(task, limit=limit) if limit else task
        outcome, receipt = evaluate(path, task, load_pool(task.data, cache=root), dtype=dtype)
        found.append({**outcome.to_dict(), "flops": receipt.flops, "seconds": receipt.seconds})
        if not as_json:
            se = "" if found[-1]["score_se"] is None else f" +- {outcome.score_se:.4f}"
            click.echo(f"{outcome.task:20} {outcome.metric:12} {outcome.score:.4f}{se}  ({outcome.n} rows)")
    if as_json:
        options.print_json(found)
