"""Why a row was chosen or not, in words and numbers."""

from __future__ import annotations

import numpy as np

from thresher.core.method import Selector
from thresher.core.pool import Pool
from thresher.pipeline import Selection


def reasons(selection: Selection, selector: Selector, by_group: bool, n: int) -> list[str]:
    """(n,) one sentence a pool row."""
    subset = selection.subset
    words = ["not within the budget"] * n
    for row, why in selection.excluded.items():
        words[row] = f"left out: {why}"
    names = _columns(selection.target, by_group) if subset.column is not None else None
    for place, row in enumerate(subset.index):
        said = f"rank {place + 1} of {len(subset)}"
        if selector.gain_is != "nothing":
            said += f", {selector.gain_is} {subset.gain[place]:.4g}"
        if names is not None and subset.column is not None:
            said += f", closest to {names[int(subset.column[place])]}"
        words[int(row)] = said
    return words


def _columns(target: Pool | None, by_group: bool) -> list[str]:
    """What an affinity's columns are called: target rows, or target groups."""
    assert target is not None, "an affinity has a target"
    if not by_group:
        return [f"target row {name}" for name in target.ids()]
    names = [*target.group_names, "(none)"]
    return [f"target group {names[g]}" for g in np.unique(target.group_index())]
