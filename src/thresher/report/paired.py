"""Arms against random rows of the same size, by seeds and test rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thresher.report import tables
from thresher.report.section import Heading, Section, Table, Words, read_json

HEAD = ("method", "size", "better by", "95 %", "of seeds", "of rows", "p", "p, together", "smallest seen", "says")


def paired(folder: Path) -> list[Section]:
    """What paired.json says; nothing where no arm has random rows beside it."""
    found = read_json(folder / "paired.json")
    panels = [panel for panel in (found or {"panels": []})["panels"] if panel["lines"]]
    if not panels:
        return []
    blocks: list[Any] = [Words(
        "Each arm less random rows of the same size, within a seed and on the same test rows (choosing not counted). "
        "Its standard errors: what other seeds would change, and what other test rows would. The interval has both "
        "(rows and seeds drawn again) and is each comparison's own; p, together is Holm's for all of a panel. Smallest "
        "seen: the difference that this design shows four times in five."
    )]  # fmt: skip
    for panel in panels:
        title = " · ".join(part for part in (panel["task"], panel["metric"], panel["protocol"]) if part)
        lines = sorted(panel["lines"], key=lambda line: -line["difference"])
        blocks += [Heading(title), Table(HEAD, [_row(line) for line in lines])]
    return [Section("Against random rows, seed by seed and row by row", blocks)]


def _row(line: Mapping[str, Any]) -> list[str]:
    return [
        tables.label(line), str(line["budget"]), f"{line['difference']:+.3g}",
        f"{line['low']:+.3g} to {line['high']:+.3g}", tables.number(line["se_seeds"], 2),
        tables.number(line["se_rows"], 2), f"{line['p']:.2g}", f"{line['p_holm']:.2g}",
        tables.number(line["detectable"], 2), line["says"],
    ]  # fmt: skip
