"""Vectors of length one, and their means by group."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from thresher.core.pool import Pool
from thresher.errors import NonFinite


def unit(vectors: Float32[np.ndarray, "b d"], rows: Pool) -> Float32[np.ndarray, "b d"]:
    """Each of length one; zero stays zero.

    Raises:
        NonFinite: a vector that is not a number.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(length[:, 0]))
    if bad.size:
        raise NonFinite(f"features of {bad.size} rows are not numbers, first ids {rows.take(bad[:5]).ids()}.")
    return (vectors / np.where(length > 0, length, 1)).astype(np.float32, copy=False)


def group_means(near: Float32[np.ndarray, "q d"], target: Pool) -> Float32[np.ndarray, "g d"]:
    """The mean vector of each group, by which the mean cosine is had; groups as the pipeline orders them."""
    group = target.group_index()
    return np.stack([near[group == g].mean(axis=0, dtype=np.float64) for g in np.unique(group)]).astype(np.float32)
