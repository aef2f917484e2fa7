"""Test rows that stand in the pool, or in what was chosen from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thresher.report import tables
from thresher.report.section import Section, Table, Words, read_json

HEAD = ("task", "test rows", "in the pool", "nearly", "pool rows", "selections that hold some", "most in one")
PAIRS_HEAD = ("task", "test row", "pool row", "share of its words")


def contamination(folder: Path) -> list[Section]:
    """What contamination.json says; nothing where nobody looked."""
    found = read_json(folder / "contamination.json")
    if not found:
        return []
    rows = [
        [line["task"], *map(tables.count, (line["rows"], line["exact"], line["near"], len(line["pool_rows"]),
         len(line["selections"]), max(line["selections"].values(), default=0)))]
        for line in found["tasks"]
    ]  # fmt: skip
    pairs = [
        [line["task"], pair["test"], pair["pool"], tables.percent(pair["share"])]
        for line in found["tasks"] for pair in line["pairs"]
    ]  # fmt: skip
    blocks: list[Any] = [Words(_sentence(found["tasks"])), Table(HEAD, rows)]
    if pairs:
        blocks.append(Table(PAIRS_HEAD, pairs, folded="Which rows, the fullest first"))
    return [Section("Test rows in the pool", blocks)]


def _sentence(lines: list[dict[str, Any]]) -> str:
    about = (
        "Looked for before training: prompts whose words stand in the pool as they are, and prompts of which "
        f"{tables.percent(lines[0]['share_of_words'])} of the words lie in n-grams of one pool row. Paraphrases and "
        "the same question with other numbers are not found."
    )
    dirty = [line["task"] for line in lines if line["selections"]]
    if dirty:
        return f"Scores on {', '.join(dirty)} may be memory: some selections hold test rows. {about}"
    if any(line["pool_rows"] for line in lines):
        return f"The pool holds test rows, but no selection took one. {about}"
    return f"No test row was found in the pool. {about}"
