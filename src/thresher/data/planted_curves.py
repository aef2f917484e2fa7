"""Loss curves of six planted families: what a selector on trajectories has to tell apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

FAMILIES = ("constant high", "constant low", "early drop", "late drop", "rise", "noise")
HIGH, LOW = 4.0, 0.5  # losses


def planted_curves(
    n: int, t: int = 12, *, seed: int = 0, spread: float = 0.1, noise: float = 0.5,
    shares: tuple[float, ...] | None = None,
) -> tuple[Float[np.ndarray, "n t"], Int[np.ndarray, " n"]]:  # fmt: skip
    """Losses of n rows at t points of a training, in single precision, and which family each row is of.

    Args:
        n: rows, dealt to the families and shuffled.
        t: points, at least 4.
        seed: of everything drawn.
        spread: standard deviation of a point around its family's curve.
        noise: the same in the family of noise, whose curve is flat half-way up.
        shares: of the six families; equal if not given.
    """
    rng = np.random.default_rng([seed, n, t])
    time = np.linspace(0.0, 1.0, t)
    early, late = np.clip(4 * time, 0, 1), np.clip(4 * time - 3, 0, 1)
    centre = np.stack([
        np.full(t, HIGH), np.full(t, LOW), HIGH - (HIGH - LOW) * early, HIGH - (HIGH - LOW) * late,
        LOW + (HIGH - LOW) * time, np.full(t, (HIGH + LOW) / 2),
    ])  # fmt: skip
    edges = np.cumsum(shares or (1 / len(FAMILIES),) * len(FAMILIES))
    family = np.minimum(np.searchsorted(edges, (np.arange(n) + 0.5) / n), len(FAMILIES) - 1)
    family = rng.permutation(family).astype(np.int64)
    size = np.where(family == FAMILIES.index("noise"), noise, spread)[:, None]
    return np.maximum(centre[family] + size * rng.standard_normal((n, t)), 0.0).astype(np.float32), family
