"""Clusters of losses over time that go the wrong way."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from thresher.core.method import Feature


def mean_curves(feature: Feature, label: Int[np.ndarray, " n"]) -> Float[np.ndarray, "c t"]:
    """Mean of the rows of each cluster; a cluster without rows has zeros."""
    size = np.maximum(np.bincount(label), 1)
    columns = [np.bincount(label, weights=feature[:, j]) / size for j in range(feature.shape[1])]
    return np.stack(columns, axis=1)


def rising(curves: Float[np.ndarray, "c t"], most: float) -> Bool[np.ndarray, " c"]:
    """Whose last value is above the first by more than `most`."""
    return curves[:, -1] - curves[:, 0] > most


def staying_above(feature: Feature, label: Int[np.ndarray, " n"], quantile: float) -> Bool[np.ndarray, " c"]:
    """Which clusters' lowest losses, on average, are above that quantile of all rows' lowest losses."""
    lowest = feature.min(axis=1)
    mean = np.bincount(label, weights=lowest) / np.maximum(np.bincount(label), 1)
    return mean > np.quantile(lowest, quantile)
