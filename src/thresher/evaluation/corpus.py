"""Numbers of all rows together that are no mean over rows, with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Num

from thresher.evaluation.outcome import Outcome

RESAMPLES = 1000


def ratio(
    task: str, metric: str, above: Num[np.ndarray, " n"], below: Num[np.ndarray, " n"], notes: tuple[str, ...] = ()
) -> Outcome:
    """sum(above) / sum(below); the standard error is the delta method's for a ratio of sums."""
    score, n = float(above.sum() / below.sum()), len(above)
    se = math.nan
    if n > 1:
        left = above - score * below
        se = float(math.sqrt(n / (n - 1) * (left**2).sum()) / below.sum())
    return Outcome(task, metric, score, se, n, np.asarray(above / below, np.float64), (), notes)


def perplexity(
    task: str, sums: Num[np.ndarray, " n"], counts: Num[np.ndarray, " n"], notes: tuple[str, ...] = ()
) -> Outcome:
    """exp(sum of losses / tokens), nats; each row's value is its own perplexity."""
    rate = ratio(task, "perplexity", sums, counts, notes)
    value = math.exp(min(rate.score, 700.0))
    values = np.exp(np.minimum(rate.values, 700.0))
    return Outcome(task, "perplexity", value, value * rate.score_se, rate.n, values, (), notes)


def resampled(counts: Float[np.ndarray, "n c"], of_sums: Callable[[np.ndarray], float], seed: int) -> float:
    """Standard deviation of a function of column sums over bootstrap samples of the rows; NaN for one row."""
    n = len(counts)
    if n < 2:
        return math.nan
    rng = np.random.default_rng([seed, 0xB00])
    weights = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)  # (r, n) how often each row is drawn
    return float(np.std([of_sums(sums) for sums in weights @ counts], ddof=1))
