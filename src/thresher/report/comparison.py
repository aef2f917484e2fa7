"""A selection beside others from the same pool, and beside its target."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.errors import StoreError
from thresher.report import tables

OVERLAP_HEAD = ("selection", "method", "rows", "shared", "Jaccard")
NEAREST_HEAD = ("which", "row", "its text", "closest target row", "its text", "affinity")


def overlap(folder: Path, others: Sequence[Path]) -> list[list[str]]:
    """Shared rows and Jaccard index (shared / either) with every other selection.

    Raises:
        StoreError: a folder that is no selection, or one from another pool.
    """
    pool, _, own = _chosen(folder)
    rows = []
    for other in others:
        fingerprint, method, theirs = _chosen(other)
        if fingerprint != pool:
            raise StoreError(f"{other} chose from another pool than {folder}: their rows cannot be compared.")
        shared, either = len(own & theirs), len(own | theirs)
        rows.append(
            [other.name, method, tables.count(len(theirs)), tables.count(shared), f"{shared / max(either, 1):.3f}"]
        )
    return rows


def _chosen(folder: Path) -> tuple[str, str, set[int]]:
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        table = pq.read_table(folder / "scores.parquet", columns=["row", "chosen"])
    except (OSError, ValueError) as problem:
        raise StoreError(f"{folder} is not a selection's folder: {problem}.") from problem
    return card["pool"]["fingerprint"], str(card["method"]), set(table.filter(pc.field("chosen"))["row"].to_pylist())


def nearest(folder: Path) -> list[list[str]]:
    """Lines of nearest.json, which a method that looks at a target leaves; none otherwise."""
    path = folder / "nearest.json"
    if not path.is_file():
        return []
    keys = ("which", "row", "text", "target", "target_text")
    return [
        [*(str(line[key]) for key in keys), tables.number(line["affinity"])]
        for line in json.loads(path.read_text(encoding="utf-8"))
    ]
