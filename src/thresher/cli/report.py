"""One self-contained HTML page of a run or a selection."""

from __future__ import annotations

from pathlib import Path

import click

from thresher.cli import _options as options


@click.command(name="report")
@click.argument("folder", type=Path)
@click.option("--out", type=Path, metavar="PAGE.html", help="Where the page goes [report.html in the folder].")
@click.option("--beside", "others", type=Path, multiple=True, metavar="DIR", help="Another selection, for the overlap.")
@click.option("--in-domain", "inside", metavar="TASK", multiple=True, help="A run's task that the pool is about.")
@options.as_json
def command(
    folder: Path, out: Path | None, others: tuple[Path, ...], inside: tuple[str, ...], as_json: bool
) -> None:  # fmt: skip
    """Write the page of FOLDER, which `run` or `select` left."""
    from thresher.report import page

    path = page.write(folder, out or folder / "report.html", beside=others, in_domain=inside)
    if as_json:
        options.print_json({"report": str(path)})
    else:
        options.echo(path)
