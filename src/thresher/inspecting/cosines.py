"""Are gradients alike inside a cluster, and does a clustered subset stand for the whole?"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from thresher.inspecting.agreement import plain
from thresher.selectors.stratified import water_filling


def cosine_split(
    gradient: Float[np.ndarray, "m d"], label: Int[np.ndarray, " m"], *, draws: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Mean cosine of pairs in one cluster, of pairs in different ones, and the difference with a 95 % interval.

    The interval is of a bootstrap over rows, not over pairs: pairs that share a row are not independent. A row drawn
    twice is no pair with itself. Zero gradients have no direction and are left out. None where there are no pairs.
    """
    norm = np.linalg.norm(gradient, axis=1)
    known = norm > 0
    unit, label = gradient[known] / norm[known, None], label[known]
    cosine = unit.astype(np.float64) @ unit.T.astype(np.float64)  # (m, m)
    same = label[:, None] == label[None]
    np.fill_diagonal(same, False)
    apart = label[:, None] != label[None]
    inside, across = cosine * same, cosine * apart
    means = _means(np.ones((1, len(label))), inside, same, across, apart)[0]
    rng = np.random.default_rng([seed, 0x626F])
    weights = rng.multinomial(len(label), np.full(len(label), 1 / max(len(label), 1)), size=draws)
    drawn = _means(weights.astype(np.float64), inside, same, across, apart)  # (draws, 2)
    gap = drawn[:, 0] - drawn[:, 1]
    return {
        "rows": int(known.sum()), "zero": int((~known).sum()),
        "pairs_in": int(same.sum() // 2), "pairs_across": int(apart.sum() // 2),
        "in_cluster": _with_interval(means[0], drawn[:, 0]), "across": _with_interval(means[1], drawn[:, 1]),
        "difference": _with_interval(means[0] - means[1], gap),
    }  # fmt: skip


def _means(
    weights: Float[np.ndarray, "w m"], inside: np.ndarray, same: np.ndarray, across: np.ndarray, apart: np.ndarray
) -> Float[np.ndarray, "w 2"]:
    """Of each drawing: the mean over its pairs; NaN where it has none."""
    found = np.full((len(weights), 2), np.nan)
    for place, (sums, pairs) in enumerate(((inside, same), (across, apart))):
        total = ((weights @ sums) * weights).sum(axis=1)
        count = ((weights @ pairs.astype(np.float64)) * weights).sum(axis=1)
        found[count > 0, place] = total[count > 0] / count[count > 0]
    return found


def _with_interval(value: float, drawn: Float[np.ndarray, " w"]) -> dict[str, float | None]:
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if known.size else (np.nan, np.nan)
    return {"value": plain(value), "low": plain(low), "high": plain(high)}


def weighted_error(
    gradient: Float[np.ndarray, "m d"], chosen: Int[np.ndarray, " k"], weight: Float[np.ndarray, " k"]
) -> float:
    """|sum_i g_i - sum_chosen w_j g_j| / |sum_i g_i|; NaN where the whole sums to zero."""
    whole = gradient.sum(axis=0, dtype=np.float64)
    part = (weight[:, None] * gradient[chosen].astype(np.float64)).sum(axis=0)
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(whole - part)) / size if size > 0 else float("nan")


def subset_error(
    gradient: Float[np.ndarray, "m d"], label: Int[np.ndarray, " m"], k: int, *, draws: int = 200, seed: int = 0
) -> dict[str, Any]:
    """The error of k rows spread over clusters, and of k random rows: mean and standard deviation over draws.

    Each row of a cluster weighs its size over the rows taken of it; a random row weighs m / k. A cluster of which
    nothing is taken is missing from the sum, which is part of the error.
    """
    rng = np.random.default_rng([seed, k])
    m = len(label)
    spread, random = np.empty(draws), np.empty(draws)
    for i in range(draws):
        taken = water_filling(rng.permutation(int(label.max()) + 1)[label], rng)[0][:k]
        spread[i] = weighted_error(gradient, taken, cluster_weights(label, taken))
        random[i] = weighted_error(gradient, rng.permutation(m)[:k], np.full(k, m / k))
    touched = len(np.unique(label)) if k >= len(np.unique(label)) else k
    return {
        "k": k, "clusters": len(np.unique(label)), "clusters_touched": touched, "draws": draws,
        "clustered": {"mean": plain(spread.mean()), "sd": plain(spread.std(ddof=1))},
        "random": {"mean": plain(random.mean()), "sd": plain(random.std(ddof=1))},
    }  # fmt: skip


def cluster_weights(label: Int[np.ndarray, " m"], chosen: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """w_j = rows of j's cluster / rows taken of it."""
    size = np.bincount(label)
    taken = np.bincount(label[chosen], minlength=len(size))
    return (size[label[chosen]] / taken[label[chosen]]).astype(np.float64)


def at_checkpoint(
    step: int, values: Float[np.ndarray, "g d"], label: Int[np.ndarray, " g"], share: float, seed: int
) -> dict[str, Any]:
    """Cosines inside and across clusters, and the error of subsets of several sizes, the selection's own among them."""
    m = len(label)
    sizes = sorted({min(m, max(1, round(m * part))) for part in (share, 1 / 16, 1 / 8, 1 / 4, 1 / 2)})
    return {
        "step": step, "share": share, "cosine": cosine_split(values, label, seed=seed),
        "error": [subset_error(values, label, k, seed=seed) for k in sizes],
    }  # fmt: skip
