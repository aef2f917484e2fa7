"""Rows of a feature at unit length."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from thresher.core.method import Feature


def unit_rows(feature: Feature) -> tuple[Float[np.ndarray, "n e"], tuple[str, ...]]:
    """Each row over its Euclidean norm, in single precision unless it came in double, and a note where one was zero.

    A row of zeros (an empty text, say) points nowhere. All such rows are given one direction of their own, an extra
    axis: they are alike, and unlike every other row.
    """
    dtype = np.float64 if feature.dtype == np.float64 else np.float32
    unit = feature.astype(dtype)  # (n, d), a copy
    norm = np.sqrt(np.einsum("nd,nd->n", unit, unit, dtype=np.float64)).astype(dtype)
    zero = norm == 0
    unit /= np.where(zero, 1, norm)[:, None]
    if not zero.any():
        return unit, ()
    note = f"{int(zero.sum())} rows have a feature of zeros only: taken as alike, and as unlike all others"
    return np.concatenate([unit, zero[:, None].astype(dtype)], axis=1), (note,)  # (n, d + 1)
