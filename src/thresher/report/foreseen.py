"""The plan that was made before the run, and what the run says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thresher.report import tables
from thresher.report.section import Heading, Section, Table, Words, read_json

Of = Mapping[str, Any]
BESIDE_HEAD = ("arm", "rows", "expected on", "expected", "reached", "inside")


def foreseen(folder: Path) -> list[Section]:
    """What plan.json says; nothing where the run was not planned."""
    plan = read_json(folder / "plan.json")
    if not plan:
        return []
    head = ("method", "rows", "choosing", "training", "expected", "from", "")
    rows = [
        [tables.label(line), tables.count(line["rows"]), tables.flops(line["selection_flops"]),
         tables.flops(line["training_flops"]), _interval(line["score"], line), line["basis"],
         "" if line["affordable"] else "over budget"]
        for line in plan["best_of_each"]
    ]  # fmt: skip
    judged = plan.get("verdicts", ())
    blocks: list[Any] = [
        Words(f"{plan['reason']} {' '.join(plan['would_change'])}"),
        *(Words(one["sentence"]) for one in judged),
        Table(head, rows, folded=f"What it expected of each method, in {plan['score_unit']}"),
    ]
    for one in judged:
        if beside(one):
            blocks += [Heading(f"{one['task']} {one['metric']}: expected and reached"), Table(BESIDE_HEAD, beside(one))]
    blocks.append(Words(" ".join(f"{note[0].upper()}{note[1:]}." for note in plan["notes"] if note)))
    return [Section("The plan, made before the run", blocks)]


def beside(verdict: Of) -> list[list[str]]:
    """An arm a line: what was expected of its method at the nearest size, and what it reached."""
    return [
        [tables.label(one), tables.count(one["rows"]), tables.count(one["expected_rows"]),
         _interval(one["expected"], one), tables.score(one["score"], one["se"]), "yes" if one["inside"] else "no"]
        for one in verdict.get("expected") or ()
    ]  # fmt: skip


def _interval(value: float, ends: Of) -> str:
    """An expected score with its 95 % interval."""
    return f"{tables.number(value, 3)} ({tables.number(ends['low'], 3)} to {tables.number(ends['high'], 3)})"
