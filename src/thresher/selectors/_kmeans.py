"""Euclidean k-means: seeded, exact on ties, trained on a stated sample, then every row assigned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from thresher.core.method import Feature

Start = Literal["spread", "random"]
SEEDING = 25_600  # rows k-means++ looks at
BLOCK = 1 << 16  # distances at once: they stay in the processor's cache
WIDE = 1 << 18  # numbers of a block of rows at once, in seeding


@dataclass(frozen=True)
class Clusters:
    """Which cluster every row is nearest to."""

    label: Int[np.ndarray, " n"]  # int64; the lowest of equally near clusters
    centre: Float[np.ndarray, "c d"]
    inertia: float  # sum of squared distances to the nearest centre


def kmeans(
    feature: Feature, clusters: int, *, iterations: int, sample: int, seed: int, start: Start = "spread"
) -> Clusters:
    """Lloyd's iterations from one start; stops early when no row moves.

    Args:
        feature: n rows, used as they are: no scaling, no centring that would change a distance.
        clusters: at most this many; fewer where there are fewer rows, or fewer different ones in the seeding.
        iterations: of assigning and averaging.
        sample: rows trained on, drawn without replacement where the pool has more.
        seed: of the sample and the start; nothing else is drawn.
        start: "spread" is k-means++ on a sample of at most 25 600 rows, "random" takes random rows.
    """
    rng = np.random.default_rng([seed, 0x6B6D])
    n = len(feature)
    rows = np.arange(n) if n <= sample else np.sort(rng.choice(n, sample, replace=False))
    mean = feature[rows].mean(axis=0, dtype=np.float64)
    x = _about(feature, rows, mean)
    k = min(clusters, len(x))
    centre = _spread(x, k, rng) if start == "spread" else x[rng.permutation(len(x))[:k]]
    before = None
    for _ in range(iterations):
        label, apart, total, size = _assign(x, centre, sums=True)
        if before is not None and np.array_equal(label, before):
            break
        before = label
        centre = _average(x, centre, apart, total, size)
    if len(rows) < n:
        del x
        x = _about(feature, np.arange(n), mean)
    label, apart, _, _ = _assign(x, centre, sums=False)
    return Clusters(label, (centre + mean).astype(np.float32), float(apart.sum(dtype=np.float64)))


def _about(feature: Feature, rows: Int[np.ndarray, " m"], mean: Float[np.ndarray, " d"]) -> Float[np.ndarray, "m d"]:
    """The rows around the mean in single precision: small numbers lose less in products."""
    x = np.empty((len(rows), feature.shape[1]), dtype=np.float32)
    for at in range(0, len(rows), 8192):
        x[at : at + 8192] = feature[rows[at : at + 8192]] - mean
    return x


def _spread(x: Float[np.ndarray, "m d"], k: int, rng: np.random.Generator) -> Float[np.ndarray, "c d"]:
    """k-means++: the next centre is a row drawn in proportion to its squared distance from those before."""
    if len(x) > max(SEEDING, k):
        x = x[np.sort(rng.choice(len(x), max(SEEDING, k), replace=False))]
    picked = [int(rng.integers(len(x)))]
    apart = np.full(len(x), np.inf)
    step = max(1, WIDE // x.shape[1])
    while len(picked) < k:
        for at in range(0, len(x), step):
            away = x[at : at + step] - x[picked[-1]]
            np.minimum(apart[at : at + step], np.einsum("md,md->m", away, away), out=apart[at : at + step])
        ladder = np.cumsum(apart)
        if ladder[-1] == 0:  # every row is a copy of a centre
            break
        picked.append(int(np.searchsorted(ladder, rng.random() * ladder[-1], side="right")))
    return x[picked]


def _assign(
    x: Float[np.ndarray, "m d"], centre: Float[np.ndarray, "c d"], *, sums: bool
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, "c d"], Int[np.ndarray, " c"]]:
    """Nearest centre and squared distance of every row; with `sums` the sum of each cluster's rows."""
    c = len(centre)
    label, apart = np.empty(len(x), dtype=np.int64), np.empty(len(x), dtype=np.float32)
    total = np.zeros(centre.shape, dtype=np.float64)
    double = -2.0 * centre.T  # (d, c)
    square = np.einsum("cd,cd->c", centre, centre)
    step = min(2048, max(256, BLOCK // c))
    for at in range(0, len(x), step):
        block = x[at : at + step]
        score = block @ double  # (b, c) squared distance less the row's own square
        score += square
        nearest = score.argmin(axis=1)
        own = np.arange(len(block))
        label[at : at + step] = nearest
        apart[at : at + step] = score[own, nearest] + np.einsum("bd,bd->b", block, block)
        if sums:
            member = np.zeros((len(block), c), dtype=np.float32)
            member[own, nearest] = 1.0
            total += member.T @ block  # (c, b) @ (b, d)
    return label, np.maximum(apart, 0.0), total, np.bincount(label, minlength=c)


def _average(
    x: Float[np.ndarray, "m d"], centre: Float[np.ndarray, "c d"], apart: Float[np.ndarray, " m"],
    total: Float[np.ndarray, "c d"], size: Int[np.ndarray, " c"],
) -> Float[np.ndarray, "c d"]:  # fmt: skip
    """Means of the clusters; an emptied one is moved to the row farthest from its centre, the next to the next."""
    moved = (total / np.maximum(size, 1)[:, None]).astype(np.float32)
    empty = np.flatnonzero(size == 0)
    if empty.size:
        farthest = np.argsort(-apart, kind="stable")[: empty.size]
        moved[empty] = x[farthest]
    return moved
