"""How far a choice by words went from the pool towards its target: read from a selection's card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thresher.report import tables
from thresher.report.section import Section, Table, Words, read_json

_SAID = (
    "How far distributions of hashed n-grams lie from one another: Kullback-Leibler divergence in nats. A choice that "
    "went towards its target is nearer to it than as many rows at random; the whole pool is nearer than any few rows, "
    "because most n-grams are in none of them. Below, the n-grams of the chosen rows that it gained most by: their "
    "share of all n-grams times their log ratio."
)


def shift(folder: Path) -> list[Section]:
    """A section for each signal that left such a diagnosis in card.json."""
    card = read_json(folder / "card.json") or {}
    said = card.get("diagnostics") or {}
    return [_section(name, found) for name, found in said.items() if "chosen_from_pool" in found]


def _section(name: str, found: dict[str, Any]) -> Section:
    divergences = [
        [
            target["name"] or "target",
            tables.number(target["target_from_pool"]),
            tables.number(target["target_from_random"]),
            tables.number(target["target_from_chosen"]),
        ]
        for target in found["targets"]
    ]
    grams = [
        [gram["ngram"], tables.count(gram["times"]), tables.number(gram["log_ratio"]), tables.number(gram["gain"])]
        for gram in found["ngrams"]
    ]
    return Section(
        f"Towards the target by {name}",
        [
            Words(_SAID),
            Table(["target", "from the whole pool", "from random rows", "from the chosen rows"], divergences),
            Words(
                f"The chosen rows are {tables.number(found['chosen_from_pool'])} from the pool, as many random rows "
                f"{tables.number(found['random_from_pool'])}."
            ),
            Table(["n-gram", "times", "log ratio", "gain"], grams),
        ],
    )
