"""What an evaluation comes to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Outcome:
    """A mean over test rows with its standard error.

    Attributes:
        task: the task file's name for itself.
        metric: loss, exact_match or accuracy.
        score: the mean over rows.
        score_se: standard deviation over rows / sqrt(n); NaN for one row.
        n: test rows.
        values: each row's own value, for paired comparisons.
        examples: the first few answers as written, for the eye.
    """

    task: str
    metric: str
    score: float
    score_se: float
    n: int
    values: Float[np.ndarray, " n"]
    examples: tuple[dict[str, str], ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The contract's JSON shape."""
        se = None if math.isnan(self.score_se) else self.score_se
        return {"task": self.task, "metric": self.metric, "score": self.score, "score_se": se, "n": self.n}


def mean_of(
    task: str, metric: str, values: Float[np.ndarray, " n"], examples: tuple[dict[str, str], ...] = ()
) -> Outcome:
    """The outcome of one value per row."""
    n = len(values)
    se = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Outcome(task, metric, float(values.mean()), se, n, values, examples)
