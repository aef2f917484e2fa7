"""The plan that was made before the run, and what the run says of it."""

from __future__ import annotations

from pathlib import Path

from thresher.report import tables
from thresher.report.section import Section, Table, Words, read_json


def foreseen(folder: Path) -> list[Section]:
    """What plan.json says; nothing where the run was not planned."""
    plan = read_json(folder / "plan.json")
    if not plan:
        return []
    head = ("method", "rows", "choosing", "training", "expected", "from", "")
    rows = [
        [tables.label(line), tables.count(line["rows"]), tables.flops(line["selection_flops"]),
         tables.flops(line["training_flops"]),
         f"{tables.number(line['score'], 3)} ({tables.number(line['low'], 3)} to {tables.number(line['high'], 3)})",
         line["basis"], "" if line["affordable"] else "over budget"]
        for line in plan["best_of_each"]
    ]  # fmt: skip
    words = [one["sentence"] for one in plan.get("verdicts", ())]
    return [
        Section(
            "The plan, made before the run",
            [
                Words(f"{plan['reason']} {' '.join(plan['would_change'])}"), *map(Words, words),
                Table(head, rows, folded=f"What it expected of each method, in {plan['score_unit']}"),
                Words(" ".join(f"{note[0].upper()}{note[1:]}." for note in plan["notes"] if note)),
            ],
        )
    ]  # fmt: skip
