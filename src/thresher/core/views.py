"""Runs of rows of a file: how a part of a pool is told to another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int


@dataclass(frozen=True)
class Views:
    """Runs of rows of an Arrow file, in order."""

    path: Path
    rows: Int[np.ndarray, "runs 2"]  # from, to

    def slice(self, start: int, stop: int) -> Views:
        """The file's rows behind rows start to stop of these."""
        ends = np.cumsum(self.rows[:, 1] - self.rows[:, 0])
        first, last = np.searchsorted(ends, [start, max(stop - 1, start)], side="right")
        rows = self.rows[first : last + 1].copy()
        if len(rows):
            rows[0, 0] = rows[0, 1] - (ends[first] - start)
            rows[-1, 1] -= ends[last] - stop if last < len(ends) else 0
        return Views(self.path, rows)
