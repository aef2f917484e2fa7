"""Selections side by side: the groups they take at each budget, and the rows they share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool

from thresher.errors import StoreError
from thresher.report import charts, tables
from thresher.report.section import Heading, Picture, Section, Words, read_json

MOST_GROUPS, MOST_ARMS, MOST_PANELS = 16, 14, 6


@dataclass(frozen=True)
class Chosen:
    """One selection: which arm of a comparison it is, and the rows it took."""

    label: str
    budget: str
    seed: int
    folder: Path
    card: Mapping[str, Any]

    def rows(self) -> Bool[np.ndarray, " n"]:
        """(n,) whether each row of the pool was taken.

        Raises:
            StoreError: scores.parquet cannot be read.
        """
        try:
            table = pq.read_table(self.folder / "scores.parquet", columns=["chosen"])
        except (OSError, pa.ArrowException) as problem:
            raise StoreError(f"{self.folder / 'scores.parquet'} cannot be read: {problem}.") from problem
        return table["chosen"].to_numpy().astype(bool)

    def groups(self) -> list[str]:
        """(n,) the group of each row of the pool."""
        path = self.folder / "scores.parquet"
        return [group or "(no group)" for group in pq.read_table(path, columns=["group"])["group"].to_pylist()]


def of_run(folder: Path) -> list[Chosen]:
    """The selections of a run, by the labels its file gave them; all of them where run.json does not say."""
    spec = (read_json(folder / "run.json") or {}).get("spec") or {}
    found = []
    for arm in spec.get("methods", ()):
        for budget in [*spec["budgets"], "100%"]:
            for seed in spec["seeds"]:
                name = re.sub(r"[^\w.%$-]+", "_", f"{arm['label']}-{budget}-{seed}")
                path = folder / "selections" / name
                card = read_json(path / "card.json")
                if card and (path / "scores.parquet").is_file():
                    found.append(Chosen(arm["label"], budget, int(seed), path, card))
    return found


def of_folders(folders: Sequence[Path]) -> list[Chosen]:
    """Folders that a user put side by side.

    Raises:
        StoreError: one that is no selection's.
    """
    found = []
    for path in folders:
        card = read_json(path / "card.json")
        if card is None:
            raise StoreError(f"{path} is not a selection's folder: it has no card.json.")
        budget = card.get("budget")
        asked = budget.get("asked", "") if isinstance(budget, Mapping) else str(budget)
        found.append(Chosen(str(card["method"]), asked, int(card.get("seed", 0)), path, card))
    return found


def compared(folder: Path, beside: Sequence[Path] = ()) -> list[Section]:
    """Shares of groups at each budget, and overlap, of a run or of several folders; nothing for one selection."""
    found = of_run(folder) if (folder / "run.json").is_file() else of_folders([folder, *beside]) if beside else []
    if len(found) < 2:
        return []
    return [*_shares(found), *_overlap(found)]


def _shares(found: Sequence[Chosen]) -> list[Section]:
    """One picture an arm.

    Raises:
        StoreError: selections from different pools.
    """
    groups = np.array(found[0].groups(), dtype=object)
    names, index = np.unique(groups.astype(str), return_inverse=True)
    if len(names) < 2:
        return []
    whole = np.bincount(index, minlength=len(names)) / len(index)
    arms: dict[str, dict[str, list[np.ndarray]]] = {}
    for one in found:
        rows = one.rows()
        if len(rows) != len(index):
            raise StoreError(f"{one.folder} chose from another pool: it has {len(rows)} rows, the first {len(index)}.")
        if not rows.all():
            share = np.bincount(index[rows], minlength=len(names)) / max(int(rows.sum()), 1)
            arms.setdefault(one.label, {}).setdefault(one.budget, []).append(share)
    order = np.argsort(-whole, kind="stable")[:MOST_GROUPS]
    blocks: list[Any] = []
    highest = max(float(share.max()) for budgets in arms.values() for shares in budgets.values() for share in shares)
    most = max(highest, float(whole.max())) * 1.04
    for label, budgets in list(arms.items())[:MOST_PANELS]:
        columns = {"pool": whole[order].tolist()}
        columns |= {budget: np.mean(shares, axis=0)[order].tolist() for budget, shares in budgets.items()}
        blocks += [Heading(label), Picture(charts.dots(names[order].tolist(), columns, x="share of rows", most=most))]
    said = "Means over seeds." if any(len(s) > 1 for b in arms.values() for s in b.values()) else ""
    more = f" The {MOST_GROUPS} largest of {len(names)} groups." if len(names) > MOST_GROUPS else ""
    left = list(arms)[MOST_PANELS:]
    hidden = f" Not drawn: {', '.join(left)}." if left else ""
    blocks += [Words((said + more + hidden).strip())] if said or more or hidden else []
    return [Section("Groups, from the pool to the subsets", blocks)]


def _overlap(found: Sequence[Chosen]) -> list[Section]:
    blocks: list[Any] = []
    budgets = list(dict.fromkeys(one.budget for one in found))
    for budget in budgets:
        these = [one for one in found if one.budget == budget]
        mine = {(one.label, one.seed, str(one.folder)): np.packbits(one.rows()) for one in these}
        labels = list(dict.fromkeys(label for label, _, _ in mine))[:MOST_ARMS]
        if len(mine) < 2 or all(np.bitwise_count(bits).sum() == 0 for bits in mine.values()):
            continue
        values = [[_mean_jaccard(mine, a, b) for b in labels] for a in labels]
        k = [int(np.bitwise_count(bits).sum()) for (label, _, _), bits in mine.items() if label in labels]
        n = len(found[0].rows())
        share = sum(k) / len(k) / n
        blocks += [
            Heading(f"{budget}: {tables.count(sum(k) / len(k))} rows on average"),
            Picture(charts.grid(labels, values)),
            Words(f"Two random draws of that size would share {share / (2 - share):.2f}."),
        ]
    if not blocks:
        return []
    said = Words(
        "Jaccard index: rows in both over rows in either, averaged over pairs of selections; on the diagonal between "
        "different seeds of the same arm, empty where there is only one."
    )
    return [Section("Rows that selections share", [said, *blocks])]


def _mean_jaccard(mine: Mapping[tuple[str, int, str], np.ndarray], a: str, b: str) -> float | None:
    """Over pairs of different selections of the two arms."""
    values = [jaccard(x, y) for k, x in mine.items() if k[0] == a for m, y in mine.items() if m[0] == b and m != k]
    return float(np.mean(values)) if values else None


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Of two sets given as packed bits; two empty ones are equal."""
    either = int(np.bitwise_count(a | b).sum())
    return int(np.bitwise_count(a & b).sum()) / either if either else 1.0
