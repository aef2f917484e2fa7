"""A sweep: methods x budgets x seeds, trained, evaluated and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from thresher.cli import _options as options


@click.command(name="run")
@click.argument("recipe", type=Path)
@click.option("--out", required=True, type=Path, metavar="DIR", help="The run's folder; run again to go on.")
@click.option("--workers", type=int, help="Models trained side by side [one a core].")
@options.store
@options.as_json
def command(recipe: Path, out: Path, workers: int | None, store: str | None, as_json: bool) -> None:
    """Do what RECIPE says: choose, train, evaluate, compare. Interrupted, it goes on where it stopped."""
    from thresher.card import command_line
    from thresher.cli import _tables
    from thresher.run import run
    from thresher.spec import Spec

    spec = Spec.read(recipe)
    if workers:
        spec = replace(spec, workers=workers)
    say = lambda line: click.echo(line, err=True)  # noqa: E731
    folder = run(spec, out, store=options.store_of(store), command=command_line(), say=say)
    _tables.finish(folder, as_json)
