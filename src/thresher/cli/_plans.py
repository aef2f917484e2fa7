"""A plan in the terminal, and what its run says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thresher.cli import _options as options


def show(said: Mapping[str, Any], title: str) -> None:
    """The best of each method, the recommendation, and what would change it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = options.console()
    table = Table(title=Text(title), box=box.SIMPLE)
    for name in ("method", "rows", "choosing", "training", "hours", "$", f"expected {said['score_unit']}", "from"):
        table.add_column(name, no_wrap=name == "method")
    for line in said["best_of_each"]:
        table.add_row(*map(Text, _cells(line)))
    out.print(table)
    out.print(Text(str(said["reason"])))
    for sentence in said["would_change"]:
        out.print(Text(f"- {sentence}"))
    for note in said["notes"]:
        out.print(Text(f"note: {note}"))
    for one in said["not_usable"]:
        out.print(Text(f"not priced: {one['method']}: {one['why']}"))


def judge(verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Expected beside reached, arm by arm, where the plan spoke of that metric; then a sentence a panel."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from thresher.report.foreseen import BESIDE_HEAD, beside

    out = options.console()
    for one in verdicts:
        rows = beside(one)
        if rows:
            table = Table(title=Text(f"{one['task']}: {one['metric']}, expected and reached"), box=box.SIMPLE)
            for name in BESIDE_HEAD:
                table.add_column(name)
            for row in rows:
                table.add_row(*map(Text, row))
            out.print(table)
    for one in verdicts:
        out.print(Text(one["sentence"]))


def _cells(line: Mapping[str, Any]) -> tuple[str, ...]:
    name = f"{line['method']} ({line['scorer']})" if line["scorer"] else line["method"]
    money = "" if line["usd"] is None else f"{line['usd']:.3g}"
    score = f"{line['score']:.3g} ({line['low']:.3g} to {line['high']:.3g})"
    return (
        name, f"{line['rows']:,} ({100 * line['fraction']:.3g} %)", f"{line['selection_flops']:.3g}",
        f"{line['training_flops']:.3g}", "" if line["hours"] is None else f"{line['hours']:.3g}", money,
        score if line["affordable"] else f"{score}; over budget", line["basis"],
    )  # fmt: skip
