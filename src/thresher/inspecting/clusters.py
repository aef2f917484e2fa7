"""The clusters a selection went by, found again from its stored feature: sizes, what was taken, purity, words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float, Int

from thresher.choosing import Choice
from thresher.core.method import Feature, name_of
from thresher.core.pool import Pool
from thresher.errors import KindError
from thresher.selectors._clustered import Clustered

CUT = 420  # characters of a text
SHOWN = 4  # rows of a cluster in the gallery


@dataclass(frozen=True)
class Clusters:
    """Rows that had a cluster, and which."""

    row: Int[np.ndarray, " m"]  # of the pool, ascending
    label: Int[np.ndarray, " m"]  # 0, 1, ...: the largest first
    feature: Feature  # (m, d) what was clustered
    selector: Clustered
    signal: str

    @property
    def size(self) -> Int[np.ndarray, " c"]:
        """Rows of each cluster."""
        return np.bincount(self.label)


def clusters_of(choice: Choice) -> Clusters:
    """As the selector saw them; k-means is seeded, so they are the very same.

    Raises:
        KindError: the selection did not go by clusters.
    """
    selector = choice.selector
    if not isinstance(selector, Clustered):
        raise KindError(
            f"{choice.method.name} chooses by {name_of(selector)}, not by clusters of a feature: there is nothing to "
            "inspect. Methods that do: those with cluster_balanced or stratified_clusters (`thresher methods`)."
        )
    kept = choice.selection.kept
    named = dict(zip(selector.needs, (name_of(signal) for signal in choice.signals), strict=True))
    rows = choice.setting.pool.take(kept) if len(kept) < len(choice.setting.pool) else choice.setting.pool
    order = pc.sort_indices(rows.table["id"]).to_numpy()  # as the pipeline hands rows to selectors that draw
    feature = choice.selection.values[named["feature"]]
    split = choice.selection.values[named["label"]] if "label" in named else np.zeros(len(kept), np.int64)
    place, label = _parted(selector, np.asarray(feature)[order], np.asarray(split)[order])
    at = order[place]
    ascending = np.argsort(at)
    return Clusters(
        kept[at[ascending]], _largest_first(label[ascending]), np.asarray(feature)[at[ascending]], selector,
        named["feature"],
    )  # fmt: skip


def _parted(
    selector: Clustered, feature: Feature, split: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Places and labels of the rows that could be chosen; clusters of different groups are different."""
    places, labels, first = [], [], 0
    for group in np.unique(split):
        rows = np.flatnonzero(split == group)
        found = selector.parted(feature[rows])
        places.append(rows[found.rows])
        labels.append(found.label + first)
        first += int(found.label.max(initial=-1)) + 1
    return np.concatenate(places), np.concatenate(labels)


def _largest_first(label: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    _, dense, size = np.unique(label, return_inverse=True, return_counts=True)
    new = np.empty(len(size), np.int64)
    new[np.argsort(-size, kind="stable")] = np.arange(len(size))
    return new[dense]


def purity(label: Int[np.ndarray, " m"], topic: Int[np.ndarray, " m"]) -> Float[np.ndarray, " c"]:
    """Share of the commonest topic in each cluster, by label 0, 1, ...; a label without rows is left out."""
    names, dense = np.unique(label, return_inverse=True)
    _, which = np.unique(topic, return_inverse=True)
    table = np.zeros((len(names), which.max() + 1))
    np.add.at(table, (dense, which), 1)
    return table.max(axis=1) / table.sum(axis=1)


def flow(found: Clusters, pool: Pool, chosen: Int[np.ndarray, " k"]) -> dict[str, Any]:
    """Where the budget went: rows there and rows taken, by cluster and by group."""
    taken_row = np.isin(found.row, chosen)
    taken = np.bincount(found.label[taken_row], minlength=len(found.size))
    about: dict[str, Any] = {
        "rows": len(found.row), "taken": int(taken_row.sum()), "signal": found.signal,
        "clusters": [{"size": int(s), "taken": int(t)} for s, t in zip(found.size, taken, strict=True)],
        "groups": [],
    }  # fmt: skip
    group = pool.group_index()[found.row]
    names = [*pool.group_names, "(no group)"]
    if len(np.unique(group)) < 2:
        return about
    for line, c in zip(about["clusters"], range(len(taken)), strict=True):
        counts = np.bincount(group[found.label == c] % len(names), minlength=len(names))
        line |= {"topic": names[int(counts.argmax())], "purity": float(counts.max() / counts.sum())}
    for g in np.unique(group):
        mine = group == g
        about["groups"].append(
            {"group": names[int(g)], "size": int(mine.sum()), "taken": int((mine & taken_row).sum()),
             "clusters": len(np.unique(found.label[mine]))}
        )  # fmt: skip
    return about


def gallery(found: Clusters, pool: Pool, *, clusters: int = 6, seed: int = 0) -> list[dict[str, Any]]:
    """A few rows of a few clusters, in words: the largest, the smallest, and some between, evenly by size."""
    wanted = np.unique(np.linspace(0, len(found.size) - 1, min(clusters, len(found.size))).round().astype(int))
    rng = np.random.default_rng([seed, 0x6761])
    shown = []
    for c in wanted:
        rows = found.row[found.label == c]
        some = np.sort(rng.permutation(rows)[:SHOWN])
        part = pool.take(some)
        lines = zip(part.ids(), part.table["group"].to_pylist(), part.prompt(), part.answer(), strict=True)
        shown.append(
            {"cluster": int(c), "size": len(rows),
             "rows": [{"id": i, "group": g or "", "prompt": p[:CUT], "answer": a[:CUT]} for i, g, p, a in lines]}
        )  # fmt: skip
    return shown


def curves(
    found: Clusters, trajectory: Float[np.ndarray, "m t"], steps: list[int], *, rows: int = 5, seed: int = 0
) -> dict[str, Any]:
    """`rows` rows of one cluster (of the median size among those that have as many), and as many of different ones."""
    rng = np.random.default_rng([seed, 0x6375])
    large = np.flatnonzero(found.size >= rows)
    one = int(large[len(large) // 2]) if large.size else 0
    inside = np.sort(rng.permutation(np.flatnonzero(found.label == one))[:rows])
    others = rng.permutation(len(found.size))[:rows]
    across = [int(rng.choice(np.flatnonzero(found.label == c))) for c in others]
    mean = np.stack([trajectory[found.label == c].mean(axis=0, dtype=np.float64) for c in range(len(found.size))])

    def line(i: int) -> dict[str, Any]:
        return {"row": int(found.row[i]), "cluster": int(found.label[i]), "loss": _rounded(trajectory[i])}

    return {
        "steps": [int(step) for step in steps], "cluster": one,
        "inside": [line(int(i)) for i in inside], "across": [line(i) for i in across],
        "centres": [{"size": int(s), "loss": _rounded(m)} for s, m in zip(found.size, mean, strict=True)],
    }  # fmt: skip


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
