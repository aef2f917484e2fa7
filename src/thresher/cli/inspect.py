"""What the theory of a selection by clusters needs, measured on a sample."""

from __future__ import annotations

from pathlib import Path

import click

from thresher.cli import _options as options


@click.command(name="inspect")
@click.argument("folder", type=Path)
@click.option("--rows", type=click.IntRange(2), default=512, show_default=True, help="Of the sample.")
@click.option(
    "--steps", type=click.IntRange(0), default=60, show_default=True,
    help="Of a short run of the model, by the selection's recipe; 0: only what needs no training.",
)  # fmt: skip
@click.option("--gradients", type=click.IntRange(0), help="Rows of the sample whose gradients are read [all].")
@click.option(
    "--checkpoints", type=click.IntRange(1), default=3, show_default=True, help="Of the short run, for gradients."
)
@click.option("--pool", help="Where the pool is now, if it has moved.")
@options.seed
@options.store
@options.as_json
def command(
    folder: Path, rows: int, steps: int, gradients: int | None, checkpoints: int, pool: str | None, seed: int,
    store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure what a selection by clusters rests on, into FOLDER/diagnostics, for `thresher report`."""
    from thresher.inspecting.inspection import Wanted, inspect

    wanted = Wanted(rows=rows, steps=steps, gradients=gradients, checkpoints=checkpoints, seed=seed)
    out = inspect(
        folder, wanted, store=options.store_of(store), pool=pool, say=lambda line: options.echo(line, err=True)
    )
    if as_json:
        options.print_json({"diagnostics": str(out), "files": sorted(path.name for path in out.iterdir())})
    else:
        options.echo(out)
