"""From any results table: Pareto set, fitted curves, break-even."""

from __future__ import annotations

import click

from thresher.cli import _options as options


@click.command(name="frontier")
@click.argument("results", nargs=-1, required=True)
@options.as_json
def command(results: tuple[str, ...], as_json: bool) -> None:
    """Which runs of RESULTS (.csv, .parquet or a run's folder) were worth their compute."""
    from thresher.cli import _tables
    from thresher.planning import results as tables
    from thresher.planning.frontier import frontier

    found = frontier(tables.read(list(results)))
    if as_json:
        options.print_json(found)
    else:
        _tables.show(found)
