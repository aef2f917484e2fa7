"""Arms of a run against one of them, with the noise of seeds and of test rows."""

from __future__ import annotations

from pathlib import Path

import click

from thresher.cli import _options as options


@click.command(name="compare")
@click.argument("folder", type=Path)
@click.option("--against", default="random", show_default=True, metavar="METHOD", help="What they are held to.")
@options.as_json
def command(folder: Path, against: str, as_json: bool) -> None:
    """Each arm of the run in FOLDER less another of the same size: paired by seed and test row, and in words."""
    from thresher import paired

    found = paired.panels(folder, against)
    if as_json:
        options.print_json({"panels": found})
        return
    for panel in found:
        better = "higher" if panel["higher_is_better"] else "lower"
        options.echo(f"{panel['task']} {panel['metric']} ({better} is better) against {panel['against']}")
        for line in sorted(panel["lines"], key=lambda line: -line["difference"]):
            options.echo(
                f"  {line['method']:28} {line['budget']:>10}  {line['difference']:+.3g} [{line['low']:+.3g}, "
                f"{line['high']:+.3g}]  p {line['p']:.2g}, together {line['p_holm']:.2g}: {line['says']}"
            )
        if not panel["lines"]:
            options.echo("  no arm has the same size and seeds")
