"""A mass for each row from a column of the user's, and a sample of rows drawn by their ids."""

from __future__ import annotations

import hashlib
import math

import numpy as np
from jaxtyping import Float, Int

from thresher.core.pool import Pool
from thresher.core.suggest import unknown
from thresher.errors import PoolError


def column_weights(rows: Pool, column: str) -> Float[np.ndarray, " n"]:
    """(n,) the numbers of a column; ones where no column is named.

    Raises:
        PoolError: a row without it, or a value that is no mass.
    """
    if not column:
        return np.ones(len(rows))
    out, ids = np.empty(len(rows)), rows.ids()
    for i, row in enumerate(rows.origin()):
        if column not in row:
            raise PoolError(f"{rows.name}, row {ids[i]!r}: {unknown('column', column, row)}")
        value = row[column]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value <= 0:
            raise PoolError(
                f"{rows.name}, row {ids[i]!r}: column {column!r} holds {value!r}, and a mass is a number above 0."
            )
        out[i] = value
    return out


def drawn_by_id(rows: Pool, most: int, salt: str) -> Int[np.ndarray, " m"]:
    """Rows in an order drawn by their ids: another order of the file draws the same rows."""
    sign = [hashlib.blake2b((salt + name).encode(), digest_size=8).digest() for name in rows.ids()]
    return np.argsort(np.array(sign, dtype="S8"), kind="stable")[:most]


def distinct(
    vectors: np.ndarray, weight: Float[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """(m,) the first of every set of equal vectors, in order, and the masses of the sets."""
    places: dict[bytes, int] = {}
    owner = np.array([places.setdefault(row.tobytes(), len(places)) for row in vectors], dtype=np.int64)
    first = np.unique(owner, return_index=True)[1]
    return first, np.bincount(owner, weights=weight)
