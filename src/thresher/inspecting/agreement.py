"""How alike two sets of curves, two orders or two clusterings are."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from thresher.selectors._kmeans import kmeans

FLAT = 1e-12  # of a curve's sum of squares around its mean, relative to the square itself


def pearson(a: Float[np.ndarray, "n t"], b: Float[np.ndarray, "n t"]) -> Float[np.ndarray, " n"]:
    """Correlation of each row of `a` with the same row of `b`; NaN where one of them does not move."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    dx, dy = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    xx, yy = (dx**2).sum(axis=1), (dy**2).sum(axis=1)
    moves = (xx > FLAT * (x**2).sum(axis=1)) & (yy > FLAT * (y**2).sum(axis=1))
    found = np.full(len(x), np.nan)
    found[moves] = (dx * dy).sum(axis=1)[moves] / np.sqrt(xx[moves] * yy[moves])
    return found


def ranks(x: Float[np.ndarray, " n"] | Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """1 for the smallest; equal values share the mean of their places."""
    _, which, count = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[which]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two lists of numbers; NaN where one is constant."""
    return float(pearson(ranks(a)[None], ranks(b)[None])[0])


def adjusted_rand(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> float:
    """Pairs put together by both clusterings, less what chance would, over the most there could be: 1 equal, 0 chance.

    Source: Hubert & Arabie 1985. Two clusterings that are both one cluster, or both all single rows, agree: 1.
    """
    _, x = np.unique(a, return_inverse=True)
    _, y = np.unique(b, return_inverse=True)
    table = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(table, (x, y), 1)
    together, of_a, of_b = (_pairs(counts) for counts in (table, table.sum(axis=1), table.sum(axis=0)))
    by_chance = of_a * of_b / max(_pairs(np.array([len(x)])), 1.0)
    most = (of_a + of_b) / 2
    return 1.0 if most == by_chance else float((together - by_chance) / (most - by_chance))


def _pairs(count: np.ndarray) -> float:
    return float((count * (count - 1) / 2).sum())


def plain(value: float | np.floating) -> float | None:
    """A number JSON can hold; None for what is not one."""
    return float(value) if np.isfinite(value) else None


def curves_agree(
    proxy: Float[np.ndarray, "m t"], target: Float[np.ndarray, "m t"], *, clusters: int, seed: int
) -> dict[str, Any]:
    """Per row the correlation of the two curves, per point that of the rows' order, and whether rows cluster alike.

    All curves fall together, which alone makes them correlate: `rest` is the correlation after the sample's mean curve
    has been taken off both. Neither is given for fewer than three points.

    Clusterings of a sample cannot have as many clusters as those of the pool: at most one for every eight rows. What
    k-means from another start does to the proxy's own clusters is the most that could be asked for.
    """
    r, rest = pearson(proxy, target), pearson(proxy - proxy.mean(axis=0), target - target.mean(axis=0))
    if proxy.shape[1] < 3:  # two points are always on a line
        r = rest = np.zeros(0)
    known, others = r[np.isfinite(r)], rest[np.isfinite(rest)]
    k = max(2, min(clusters, len(proxy) // 8))

    def label(x: np.ndarray, start: int) -> np.ndarray:
        return kmeans(np.asarray(x, np.float32), k, iterations=50, sample=len(x), seed=start).label

    own = label(proxy, seed)
    return {
        "rows": len(proxy), "flat": int(len(r) - len(known)),
        "pearson": [round(float(value), 6) for value in np.sort(known)],
        "pearson_median": plain(np.median(known) if known.size else np.nan),
        "rest": [round(float(value), 6) for value in np.sort(others)],
        "rest_median": plain(np.median(others) if others.size else np.nan),
        "spearman": [plain(spearman(a, b)) for a, b in zip(proxy.T, target.T, strict=True)],
        "clusters": k, "adjusted_rand": adjusted_rand(own, label(target, seed)),
        "adjusted_rand_of_another_start": adjusted_rand(own, label(proxy, seed + 1)),
    }  # fmt: skip


def length_confound(
    values: Float[np.ndarray, "m t"], tokens: Int[np.ndarray, " m"]
) -> dict[str, Any]:
    """Rank correlation of each row's mean loss along the run with the length of its answer."""
    return {
        "rows": len(tokens),
        "spearman": plain(spearman(values.mean(axis=1, dtype=np.float64), tokens)),
        "tokens": {"median": float(np.median(tokens)), "highest": int(tokens.max())},
    }
