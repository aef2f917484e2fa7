"""N-grams that `prepare` counted, kept in a folder until `measure` has used them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from thresher.core.pool import Pool
from thresher.core.store import writing

Counted = tuple[Integer[np.ndarray, " m"], Integer[np.ndarray, " b"]]
"""Buckets of every n-gram, row after row, and how many each row has."""


def kept(folder: Path, rows: Pool, count: Callable[[Pool], Counted]) -> Counted:
    """The rows' n-grams, counted once: `used` finds them in the folder."""
    path = folder / f"{rows.fingerprint}.npz"
    if path.exists():
        return _read(path)
    found = count(rows)
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez(part, grams=found[0], counts=found[1])
        part.replace(path)
    return found


def used(folder: Path, rows: Pool, count: Callable[[Pool], Counted]) -> Counted:
    """The same, taken out of the folder; whoever wants these rows again counts them again."""
    path = folder / f"{rows.fingerprint}.npz"
    found = _read(path) if path.exists() else count(rows)
    path.unlink(missing_ok=True)
    return found


def _read(path: Path) -> Counted:
    with np.load(path) as found:
        return found["grams"], found["counts"]
