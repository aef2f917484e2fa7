"""Frontier tables in the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from thresher.cli import _options as options


def finish(folder: Path, as_json: bool) -> None:
    """What a run ends with: its frontier, and the page."""
    from thresher.report import page

    found = json.loads((folder / "frontier.json").read_text(encoding="utf-8"))
    path = page.write(folder, folder / "report.html")
    if as_json:
        options.print_json({**found, "folder": str(folder), "report": str(path)})
        return
    show(found)
    options.echo(f"report: {path}")


def show(found: dict[str, Any]) -> None:
    """Every panel as a table, cheapest first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from thresher.report.payoff import curve_words
    from thresher.report.tables import FRONTIER_HEAD, frontier_rows

    out = options.console()
    for panel in found["panels"]:
        better = "higher" if panel["higher_is_better"] else "lower"
        table = Table(
            title=Text(
                f"{panel['task']}: {panel['metric']} ({better} is better), {panel['model']}"
                + (f", {panel['protocol']}" if panel.get("protocol") else "")
            ),
            box=box.SIMPLE,
        )
        for name in FRONTIER_HEAD:
            table.add_column(name, no_wrap=name in ("method", "size", "score"))
        for line in frontier_rows(panel):
            table.add_row(*map(Text, line))  # Text: nothing in a name is markup
        out.print(table)
        out.print(Text(panel["verdict"]["sentence"]))
        if curve_words(panel):
            out.print(Text(curve_words(panel)))
        _break_even(panel)
    leads = [arm["against_random"] or {} for panel in found["panels"] for arm in panel["arms"]]
    if any(lead.get("p_holm") is not None for lead in leads):
        out.print(
            Text(
                "Intervals against random are each comparison's own, over seeds, not test rows (thresher compare); p "
                "is Holm's, for all of a table together."
            )
        )
    for one in found.get("size_ratios", ()):
        out.print(Text(one["sentence"]))


def _break_even(panel: dict[str, Any]) -> None:
    """When each arm's choosing pays; nothing where nobody paid for choosing."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from thresher.report.payoff import BREAK_EVEN_HEAD, break_even_rows

    rows = break_even_rows(panel.get("break_even", ()))
    if rows:
        table = Table(title="Break-even", box=box.SIMPLE)
        for name in BREAK_EVEN_HEAD:
            table.add_column(name)
        for row in rows:
            table.add_row(*map(Text, row))
        options.console().print(table)
