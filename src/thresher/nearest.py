"""The target rows that the first choices, and the pool's farthest rows, are closest to: for the eye."""

from __future__ import annotations

from typing import Any

import numpy as np

from thresher.core.pool import Pool
from thresher.pipeline import Selection

SHOWN = 8
CUT = 400  # characters of a text


def nearest_targets(selection: Selection, pool: Pool) -> list[dict[str, Any]]:
    """The first rows chosen and the rows with the lowest mean affinity, each with its closest target row."""
    affinity, target = selection.affinity, selection.target
    if affinity is None or target is None or affinity.shape[1] != len(target):
        return []
    first = np.searchsorted(selection.kept, selection.subset.index[:SHOWN])
    last = _lowest(affinity, SHOWN)
    place = np.concatenate([first, last])  # (m,) rows of the affinity
    near = np.asarray(affinity[place]).argmax(axis=1)
    rows, targets = pool.take(selection.kept[place]), target.take(near)
    texts, goals = rows.text(), targets.text()
    return [
        {
            "which": "first chosen" if i < len(first) else "farthest",
            "row": rows.ids()[i],
            "text": texts[i][:CUT],
            "target": targets.ids()[i],
            "target_text": goals[i][:CUT],
            "affinity": float(affinity[place[i], near[i]]),
        }
        for i in range(len(place))
    ]


def _lowest(affinity: np.ndarray, m: int) -> np.ndarray:
    """The m rows of lowest mean, some thousand rows at a time."""
    step = 1 << 16
    mean = np.concatenate([affinity[at : at + step].mean(axis=1) for at in range(0, len(affinity), step)])
    return np.argsort(mean, kind="stable")[:m]
