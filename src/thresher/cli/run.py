"""A sweep: methods x budgets x seeds, trained, evaluated and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thresher.cli import _options as options
from thresher.cli._engine import Engine, engine

if TYPE_CHECKING:
    from thresher.spec import Spec


@click.command(name="run")
@click.argument("recipe", type=Path)
@click.option("--out", required=True, type=Path, metavar="DIR", help="The run's folder; run again to go on.")
@click.option("--race", is_flag=True, help="Arms in rounds: the losing ones are stopped, all is charged to one budget.")
@click.option("--budget-total", metavar="B", help="What the whole race may cost: 2e17 flops, 3 gpu-hours, $20.")
@click.option("--keep", type=float, metavar="SHARE", help="Of the racing arms that goes on to the next size [0.5].")
@click.option("--by", multiple=True, metavar="TASK[:METRIC]", help="The task that decides the race [the first].")
@options.allow_unconverged
@engine
@options.store
@options.parts_at
@options.as_json
def command(
    recipe: Path, out: Path, race: bool, budget_total: str | None, keep: float | None,
    by: tuple[str, ...], allow_unconverged: bool, engine: Engine, store: str | None, parts_at: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Do what RECIPE says: choose, train, evaluate, compare. Interrupted, it goes on where it stopped."""
    from thresher.card import command_line
    from thresher.cli import _tables
    from thresher.spec import Spec

    _go_together(race, budget_total, keep, by)
    spec = Spec.read(recipe)
    if engine.workers:
        spec = replace(spec, workers=engine.workers)
    if allow_unconverged:
        spec = _allowing(spec)
    mapper, opened = engine.mapper(None), options.store_of(store, parts_at)
    say = lambda line: options.echo(line, err=True)  # noqa: E731
    if race and budget_total is not None:
        from thresher.race import race as run_race

        folder = run_race(
            spec, out, store=opened, budget=budget_total, by=by, keep=0.5 if keep is None else keep,
            command=command_line(), say=say, mapper=mapper,
        )  # fmt: skip
    else:
        from thresher.run import run

        folder = run(spec, out, store=opened, command=command_line(), say=say, mapper=mapper)
    _tables.finish(folder, as_json)


def _allowing(spec: Spec) -> Spec:
    """Every arm that solves a transport problem takes what comes out.

    Raises:
        UsageError: there is no such arm.
    """
    from thresher import building, methods

    field = "allow_unconverged"
    arms = tuple(
        replace(arm, overrides={**arm.overrides, field: True})
        if building.has_field(methods.get(arm.method), field) else arm
        for arm in spec.arms
    )  # fmt: skip
    if arms == spec.arms:
        raise click.UsageError("--allow-unconverged: no method of this recipe solves a transport problem.")
    return replace(spec, arms=arms)


def _go_together(race: bool, budget_total: str | None, keep: float | None, by: tuple[str, ...]) -> None:
    """Raise where an option of a race stands alone.

    Raises:
        UsageError: --race without a budget, or a race's option without --race.
    """
    if race and budget_total is None:
        raise click.UsageError("--race needs --budget-total, what it may cost: 2e17 flops, 3 gpu-hours, $20.")
    if not race and (budget_total is not None or keep is not None or by):
        raise click.UsageError("--budget-total, --keep and --by belong to a race: add --race.")
