"""Euclidean k-means: seeded, exact on ties, trained on a stated sample, then every row assigned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from thresher.core.method import Feature

Start = Literal["spread", "random"]
SEEDING = 25_600  # rows k-means++ looks at
TRIES = 8  # rows k-means++ draws for a centre, at least
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

    Beyond the feature it holds a copy of the rows trained on and one whole number a row; the others are read once, a
    block at a time.

    Args:
        feature: n rows, used as they are: no scaling, no centring that would change a distance.
        clusters: at most this many; fewer where there are fewer rows, or fewer different ones in the seeding.
        iterations: of assigning and averaging.
        sample: rows trained on, drawn without replacement where the pool has more.
        seed: of the sample and the start; nothing else is drawn.
        start: "spread" is greedy k-means++ on a sample of at most 25 600 rows, "random" takes random rows.
    """
    rng = np.random.default_rng([seed, 0x6B6D])
    n = len(feature)
    rows = np.arange(n) if n <= sample else np.sort(rng.choice(n, sample, replace=False))
    x = feature[rows]
    mean = x.mean(axis=0, dtype=np.float64)
    x = _around(x, mean)
    k = min(clusters, len(x))
    centre = _spread(x, k, rng) if start == "spread" else x[rng.permutation(len(x))[:k]]
    total, before = np.zeros(centre.shape, dtype=np.float64), None
    for _ in range(iterations):
        label, _ = _assign(x, centre)
        if before is not None and np.array_equal(label, before):
            break
        _move(total, x, label, before)
        centre, before = _average(x, centre, label, total), label
    if len(rows) == n:
        label, inertia = _assign(x, centre, inertia=True)
    else:
        del x
        label, inertia = _assign(feature, centre, mean=mean, inertia=True)
    return Clusters(label, (centre + mean).astype(np.float32), inertia)


def _around(x: Float[np.ndarray, "b d"], mean: Float[np.ndarray, " d"]) -> Float[np.ndarray, "b d"]:
    """Rows around the mean in single precision: small numbers lose less in products."""
    moved = np.empty(x.shape, dtype=np.float32)
    for at in range(0, len(x), 8192):
        moved[at : at + 8192] = x[at : at + 8192] - mean
    return moved


def _spread(x: Float[np.ndarray, "m d"], k: int, rng: np.random.Generator) -> Float[np.ndarray, "c d"]:
    """Greedy k-means++: of a few rows drawn in proportion to their squared distance from the centres before, the best.

    The best is the one that leaves the smallest sum of squared distances; a single draw overlooks small clusters.
    """
    if len(x) > max(SEEDING, k):
        x = x[np.sort(rng.choice(len(x), max(SEEDING, k), replace=False))]
    square = np.einsum("md,md->m", x, x)
    picked = [int(rng.integers(len(x)))]
    apart = _apart(x, x[picked[0]])
    drawn_at_once = tries(k)
    while len(picked) < k:
        ladder = np.cumsum(apart, dtype=np.float64)
        if ladder[-1] == 0:  # every row is a copy of a centre
            break
        drawn = np.searchsorted(ladder, rng.random(drawn_at_once) * ladder[-1], side="right")
        near = x @ (-2.0 * x[drawn].T)  # (m, drawn at once)
        near += square[:, None]
        near += square[drawn]
        left = np.minimum(near, apart[:, None], out=near).sum(axis=0, dtype=np.float64)
        picked.append(int(drawn[left.argmin()]))
        np.minimum(apart, _apart(x, x[picked[-1]]), out=apart)  # anew, by differences: 0 for a copy
    return x[picked]


def tries(k: int) -> int:
    """Rows drawn for each of k centres."""
    return max(TRIES, 2 + int(np.log(k)))


def _apart(x: Float[np.ndarray, "m d"], centre: Float[np.ndarray, "*m d"]) -> Float[np.ndarray, " m"]:
    """Squared distance of each row to the centre, or to its own."""
    apart = np.empty(len(x), dtype=np.float32)
    step = max(1, WIDE // x.shape[1])
    for at in range(0, len(x), step):
        away = x[at : at + step] - (centre if centre.ndim == 1 else centre[at : at + step])
        np.einsum("md,md->m", away, away, out=apart[at : at + step])
    return apart


def _assign(
    rows: Feature, centre: Float[np.ndarray, "c d"], *, mean: Float[np.ndarray, " d"] | None = None,
    inertia: bool = False,
) -> tuple[Int[np.ndarray, " m"], float]:  # fmt: skip
    """Nearest centre of every row, and the inertia where it is asked for.

    The rows are those of `kmeans` itself; with a mean they are the feature's, moved a block at a time.
    """
    c, sum_of_squares = len(centre), 0.0
    label = np.empty(len(rows), dtype=np.int64)
    double = np.ascontiguousarray(-2.0 * centre.T)  # (d, c)
    square = np.einsum("cd,cd->c", centre, centre)
    step = _step(c)
    scores, first = np.empty((step, c), dtype=np.float32), np.arange(step) * c  # where each row's scores begin
    for at in range(0, len(rows), step):
        block = rows[at : at + step]
        if mean is not None:
            block = _around(block, mean)
        score = np.matmul(block, double, out=scores[: len(block)])  # (b, c) squared distance less the row's own square
        score += square
        nearest = score.argmin(axis=1, out=label[at : at + step])
        if inertia:
            apart = score.ravel()[first[: len(block)] + nearest] + np.einsum("bd,bd->b", block, block)
            sum_of_squares += float(np.maximum(apart, 0.0).sum(dtype=np.float64))
    return label, sum_of_squares


def _step(c: int) -> int:
    """Rows of a block."""
    return min(2048, max(256, BLOCK // c // 64 * 64))


def _move(
    total: Float[np.ndarray, "c d"], x: Float[np.ndarray, "m d"], label: Int[np.ndarray, " m"],
    before: Int[np.ndarray, " m"] | None,
) -> None:  # fmt: skip
    """Take rows out of the sum of the cluster they were in and put them into that of the one they are in."""
    rows = np.arange(len(x)) if before is None else np.flatnonzero(label != before)
    step, c = _step(len(total)), len(total)
    member, first = np.zeros(step * c, dtype=np.float32), np.arange(step) * c
    for at in range(0, len(rows), step):
        some = rows[at : at + step]
        b = len(some)
        now = first[:b] + label[some]
        then = now if before is None else first[:b] + before[some]
        member[then], member[now] = -1.0, 1.0
        total += member[: b * c].reshape(b, c).T @ x[some]  # (c, b) @ (b, d)
        member[then] = member[now] = 0.0


def _average(
    x: Float[np.ndarray, "m d"], centre: Float[np.ndarray, "c d"], label: Int[np.ndarray, " m"],
    total: Float[np.ndarray, "c d"],
) -> Float[np.ndarray, "c d"]:  # fmt: skip
    """Means of the clusters; an emptied one is moved to the row farthest from its centre, the next to the next."""
    size = np.bincount(label, minlength=len(centre))
    moved = (total / np.maximum(size, 1)[:, None]).astype(np.float32)
    empty = np.flatnonzero(size == 0)
    if empty.size:
        moved[empty] = x[np.argsort(-_apart(x, centre[label]), kind="stable")[: empty.size]]
    return moved
