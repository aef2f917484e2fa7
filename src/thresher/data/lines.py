"""Rows of a pool as lines of a file, in any order, in one pass over the pool."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from thresher.core.pool import Pool

ROWS = 1 << 14  # of the pool, looked at at a time


def write_lines(pool: Pool, index: Int[np.ndarray, " m"], path: Path) -> None:
    """The rows' own JSON, one a line, in the order of `index`; a row may stand several times.

    They are written in the pool's order beside `path` first and read from there in the order wanted: of the rows it
    keeps only where each one lies, 24 bytes, and the pool, which may be far larger than memory, is read once.
    """
    wanted, place = np.unique(index, return_inverse=True)
    aside = path.with_name(f"{path.name}.rows")
    try:
        edges = _gather(pool, wanted, aside)
        with path.open("wb", buffering=1 << 20) as out, aside.open("rb") as lines:
            if not len(wanted):
                return
            with mmap.mmap(lines.fileno(), 0, access=mmap.ACCESS_READ) as said:
                for at in range(0, len(place), ROWS):
                    some = place[at : at + ROWS]
                    for start, stop in zip(edges[some].tolist(), edges[some + 1].tolist(), strict=True):
                        out.write(said[start:stop])
    finally:
        aside.unlink(missing_ok=True)


def _gather(pool: Pool, wanted: Int[np.ndarray, " k"], path: Path) -> Int[np.ndarray, " edges"]:
    """Write rising rows one after the other; where each begins and the last ends."""
    edges, k = np.zeros(len(wanted) + 1, np.int64), 0
    with path.open("wb", buffering=1 << 20) as out:
        for part, rows in pool.parts(ROWS):
            start = part * ROWS
            inside = slice(*np.searchsorted(wanted, (start, start + len(rows))))
            for text in rows.table["origin"].take(pa.array(wanted[inside] - start)).to_pylist():
                k += 1
                edges[k] = edges[k - 1] + out.write(text.encode() + b"\n")
    assert k == len(wanted), f"{len(wanted) - k} of the rows asked for are not in the pool"
    return edges
