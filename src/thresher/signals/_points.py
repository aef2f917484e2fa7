"""Where along a training run rows are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from thresher.errors import FieldError

Spacing = Literal["even", "log", "every"]


@dataclass(frozen=True)
class Grid:
    """Points of a run of `total` optimiser steps, ascending; `read` are those at which a pass over the rows is made."""

    total: int
    steps: tuple[int, ...]
    read: tuple[int, ...]


def grid(total: int, *, points: int, spacing: Spacing, every: int, stop: float, start: bool, one_in: int = 1) -> Grid:
    """The points of a run.

    Args:
        total: optimiser steps of the whole run.
        points: how many; with `spacing = "every"` as many as there are.
        spacing: "even": round(j steps / points), j = 1..points; "log": as many apart by one factor; "every".
        every: steps from one point to the next, for that spacing.
        stop: share of the run after which nothing is read.
        start: also before the first step.
        one_in: a pass at about every so many points, first and last included.

    Raises:
        FieldError: more points than steps, or a share above 1.
    """
    if stop > 1:
        raise FieldError(f"recording.stop is a share of the proxy's run, at most 1, not {stop!r}.")
    last = max(1, int(np.floor(total * stop + 0.5 + 1e-9)))
    wanted = last // every if spacing == "every" else points
    if not 1 <= wanted <= last:
        asked = f"a point every {every} steps" if spacing == "every" else f"{points} points"
        raise FieldError(
            f"{asked} were asked for along {last} steps of the proxy's training (of {total}). "
            f"Ask for 1 to {last} points, or train longer: more epochs, or a smaller batch_size."
        )
    if spacing == "every":
        steps = np.arange(1, wanted + 1) * every
    elif spacing == "even":
        steps = np.floor(np.arange(1, points + 1) * last / points + 0.5 + 1e-9).astype(int)
    else:
        steps = _factor_apart(points, last)
    every_one = [0] * start + [int(step) for step in steps]
    measured = max(2, -(-points // one_in)) if one_in > 1 and len(steps) > 1 else len(steps)
    chosen = np.unique(np.floor(np.linspace(0, len(steps) - 1, measured) + 0.5).astype(int))
    return Grid(total, tuple(every_one), tuple([0] * start + [int(steps[i]) for i in chosen]))


def _factor_apart(points: int, last: int) -> np.ndarray:
    """Rounded powers, moved up where two would be one."""
    steps = np.floor(np.geomspace(1, last, points) + 0.5).astype(int) if points > 1 else np.array([last])
    for i in range(1, points):
        steps[i] = max(steps[i], steps[i - 1] + 1)
    return np.minimum(steps, last - np.arange(points - 1, -1, -1))


def between(
    read: Int[np.ndarray, " r"], steps: Int[np.ndarray, " t"], values: Float[np.ndarray, "b r k"]
) -> Float[np.ndarray, "b t k"]:
    """Straight lines, in steps, from one point that was read to the next."""
    if np.array_equal(read, steps):
        return values
    right = np.clip(np.searchsorted(read, steps), 1, len(read) - 1)
    left = right - 1
    share = ((steps - read[left]) / (read[right] - read[left]))[:, None]
    return (values[:, left] * (1 - share) + values[:, right] * share).astype(values.dtype)
