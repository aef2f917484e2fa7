"""What an evaluation comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Outcome:
    """A score over test rows with its standard error.

    Attributes:
        task: the task file's name for itself.
        metric: loss, exact_match, accuracy, ...
        score: the mean over rows; of a corpus metric (bleu, perplexity, bits_per_byte) that of all rows together.
        score_se: standard deviation over rows / sqrt(n), or what `evaluation.corpus` says; NaN for one row.
        n: test rows.
        values: each row's own value, for paired comparisons; of a corpus metric each row's own number, of which the
            score is not the mean.
        examples: the first few answers as written, for the eye.
        notes: what a reader of the score must know.
        groups: score, standard error and rows of each group, where the task names a column of them.
        more: further metrics of the same answers.
    """

    task: str
    metric: str
    score: float
    score_se: float
    n: int
    values: Float[np.ndarray, " n"]
    examples: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    groups: Mapping[str, tuple[float, float, int]] = field(default_factory=dict)
    more: tuple[Outcome, ...] = ()

    def all(self) -> tuple[Outcome, ...]:
        """This one and the further metrics."""
        return (self, *self.more)

    def to_dict(self) -> dict[str, object]:
        """The contract's JSON shape, of this metric alone."""
        return {
            "task": self.task, "metric": self.metric, "score": self.score, "score_se": _or_none(self.score_se),
            "n": self.n,
        }  # fmt: skip

    def in_words(self) -> dict[str, object]:
        """The JSON shape with groups and notes, where there are some."""
        groups = {name: {"score": s, "score_se": _or_none(se), "n": n} for name, (s, se, n) in self.groups.items()}
        more: dict[str, object] = {"groups": groups} if groups else {}
        return {**self.to_dict(), **more, **({"notes": list(self.notes)} if self.notes else {})}


def _or_none(se: float) -> float | None:
    return None if math.isnan(se) else se


def mean_of(
    task: str, metric: str, values: Float[np.ndarray, " n"], examples: tuple[dict[str, str], ...] = (),
    notes: tuple[str, ...] = (),
) -> Outcome:  # fmt: skip
    """The outcome of one value per row."""
    score, se = mean_and_error(values)
    return Outcome(task, metric, score, se, len(values), values, examples, notes)


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Several metrics of the same rows as one outcome: the first decides, the others are `more`."""
    return replace(outcomes[0], more=tuple(outcomes[1:]))


def by_group(outcome: Outcome, names: Sequence[str | None], *, average: bool) -> Outcome:
    """With the score of each group; with `average` the score is the mean of theirs, its error from theirs."""
    at = {name: np.array([one == name for one in names]) for name in sorted({str(n) for n in names if n is not None})}
    groups = {name: (*mean_and_error(outcome.values[rows]), int(rows.sum())) for name, rows in at.items()}
    if not average or not groups:
        return replace(outcome, groups=groups)
    scores, errors, _ = (np.array(column, np.float64) for column in zip(*groups.values(), strict=True))
    se = float(np.sqrt((errors**2).sum()) / len(groups))  # NaN where a group has one row
    return replace(outcome, score=float(scores.mean()), score_se=se, groups=groups)


def mean_and_error(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Mean and its standard error; of one value NaN."""
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
