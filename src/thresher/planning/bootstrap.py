"""A difference between two arms with both of its noises: which seeds were trained, and which test rows were asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

DRAWS = 2000


@dataclass(frozen=True)
class Paired:
    """Mean of paired differences, positive in favour of the first arm.

    Attributes:
        low: lower end of the 95 % interval.
        high: upper end.
        se: standard error, of seeds and rows together.
        se_seeds: of the seeds alone, as if every test row there is had been asked; NaN for one seed.
        se_rows: of the rows alone, as if these seeds were all there are.
        p: chance of a difference as far from 0, were there none.
        freedom: degrees of freedom of the interval.
    """

    mean: float
    low: float
    high: float
    se: float
    se_seeds: float
    se_rows: float
    p: float
    freedom: float
    seeds: int
    rows: int

    def detectable(self, *, seeds: int | None = None, rows: int | None = None) -> float:
        """The smallest difference seen with 80 % power at 5 %, by this design or by one of other sizes.

        Raises:
            ValueError: nothing is known of the spread over seeds.
        """
        seeds, rows = seeds or self.seeds, rows or self.rows
        if seeds != self.seeds and math.isnan(self.se_seeds):
            raise ValueError("one seed does not say what others would give")
        parts = (0.0 if math.isnan(self.se_seeds) else self.se_seeds * math.sqrt(self.seeds / seeds),
                 self.se_rows * math.sqrt(self.rows / rows))  # fmt: skip
        known = math.hypot(*_parts(self))  # 0 where seeds and rows each average out: what is left is all there is
        spread = self.se * math.hypot(*parts) / known if known > 0 else self.se
        freedom = _freedom(*parts, seeds, rows)
        return float(stdtrit(freedom, 0.975) + stdtrit(freedom, 0.8)) * spread


def paired_bootstrap(differences: Float[np.ndarray, "m n"], *, draws: int = DRAWS, seed: int = 0) -> Paired:
    """Seeds and test rows are drawn again, each with replacement; the interval is mean +- t * the draws' deviation.

        d*_b = sum_si u_s v_i d_si / (m n),   u ~ Multinomial(m),  v ~ Multinomial(n)

    Source:  Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2): conservative for crossed noise.
    Differs: deviations of seeds are stretched by sqrt(m / (m - 1)), for a few seeds drawn from themselves spread too
             little; t has Satterthwaite's degrees of freedom, between those of seeds and those of rows.

    Args:
        differences: first arm less second, of seed s on test row i, higher meaning better.
        draws: how many.
        seed: of the draws.

    Raises:
        ValueError: fewer than two rows.
    """
    m, n = differences.shape
    if n < 2:
        raise ValueError(f"a paired comparison needs at least 2 test rows, not {n}")
    mean = float(differences.mean())
    of_seed, of_row = differences.mean(axis=1), differences.mean(axis=0)
    se_seeds = float(of_seed.std(ddof=1)) / math.sqrt(m) if m > 1 else math.nan
    se_rows = float(of_row.std(ddof=1)) / math.sqrt(n)
    stretch = math.sqrt(m / (m - 1)) - 1 if m > 1 else 0.0
    stretched = differences + stretch * (of_seed - mean)[:, None]
    rng = np.random.default_rng([seed, m, n])
    u = rng.multinomial(m, np.full(m, 1 / m), size=draws) / m
    v = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
    drawn = np.einsum("bs,si,bi->b", u, stretched, v, optimize=["einsum_path", (0, 1), (0, 1)])
    se = float(drawn.std(ddof=1))
    freedom = _freedom(0.0 if math.isnan(se_seeds) else se_seeds, se_rows, m, n)
    half = float(stdtrit(freedom, 0.975)) * se
    p = 2.0 * float(stdtr(freedom, -abs(mean) / se)) if se > 0 else float(mean == 0)
    return Paired(mean, mean - half, mean + half, se, se_seeds, se_rows, p, freedom, m, n)


def holm(p: Sequence[float]) -> list[float]:
    """Each p-value as it counts among all of them: the smallest times their number, the next times one fewer, rising.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6.
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    found, largest = [1.0] * len(p), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        found[i] = largest
    return found


def _parts(one: Paired) -> tuple[float, float]:
    return (0.0 if math.isnan(one.se_seeds) else one.se_seeds), one.se_rows


def _freedom(se_seeds: float, se_rows: float, m: int, n: int) -> float:
    """Satterthwaite's, of a sum of two estimated variances."""
    below = (se_seeds**4 / (m - 1) if m > 1 else 0.0) + se_rows**4 / (n - 1)
    return (se_seeds**2 + se_rows**2) ** 2 / below if below > 0 else float(n - 1)
