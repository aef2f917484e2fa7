"""The main job on a built-in pool with models trained from scratch; nothing is downloaded."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import click

from thresher.cli import _options as options


@click.command(name="demo")
@click.option(
    "--out", type=Path, default=Path("thresher-demo"), show_default=True, metavar="DIR", help="The run's folder."
)
@options.as_json
def command(out: Path, as_json: bool) -> None:
    """Five methods, two budgets, two seeds on a pool with a planted truth: which was worth its compute?"""
    from thresher.card import command_line
    from thresher.cli import _tables
    from thresher.core.store import Store
    from thresher.run import run
    from thresher.spec import Spec

    with as_file(files("thresher") / "demo.yaml") as recipe:
        spec = Spec.read(recipe)
    say = lambda line: click.echo(line, err=True)  # noqa: E731
    folder = run(spec, out / "run", store=Store(out / "store"), command=command_line(), say=say)
    if not as_json:
        _truth(folder / "selections")
    _tables.finish(folder, as_json)


def _truth(selections: Path) -> None:
    """What each method took of what was planted: the demo knows the truth, the methods do not."""
    from thresher.data.synthetic import planted_shares

    click.echo("share of the chosen rows that teach the answer, by what was planted:")
    for folder in sorted(selections.iterdir()):
        shares = planted_shares(folder / "selected.jsonl")
        click.echo(f"  {folder.name:32} relevant {shares.get('relevant', 0):4.0%}, wrong {shares.get('noisy', 0):4.0%}")
