"""Scores before they are there: from the job's own runs where it has some, else from other jobs.

Three ways, by what is known of a method on this very job (model, pool and task):

    runs at four sizes or more       its own curve (planning/fits.py), with the interval of a prediction
    fewer, but some of the job       s = a + b u(m, f) + d_m: what others let expect, moved to the job's own scale
    nothing of the job               u(m, f) itself: utility, no score

u is planning/prior.py's utility. a, b and the methods' own offsets d_m are a ridge regression on the job's arms. Where
less is better and every score is above 0 (losses), s is the logarithm of the score: what is expected stays above 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from thresher.planning.arms import Arm, arms
from thresher.planning.curves import Fit
from thresher.planning.fits import fit_panel
from thresher.planning.lines import PLAIN, shares
from thresher.planning.offers import FULL, Candidate, Job
from thresher.planning.prior import Prior
from thresher.planning.results import Panel

_NORMAL = 1.96
_OFFSET = 0.5  # standard deviation of a method's own offset against its lead's spread
_ENOUGH = 4  # sizes of a method from which its own curve is believed


@dataclass(frozen=True)
class Estimate:
    """A score that is expected, with its 95 % interval; `basis` says from what."""

    score: float
    low: float
    high: float
    basis: str

    @property
    def half(self) -> float:
        """Half the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Predictor:
    """Expectations for one job.

    Attributes:
        unit: the metric, or `utility` where nothing of the job is known.
        zero_shot: the untrained model's score; None where nobody measured it.
        notes: what the reader of a plan should know of the evidence.
    """

    prior: Prior
    job: Job
    higher: bool = True
    unit: str = "utility"
    zero_shot: float | None = None
    scale: _Scale | None = None
    curves: tuple[tuple[str, str, Fit, float], ...] = ()  # method, scorer, curve, its arms' mean selection bill
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, prior: Prior, job: Job, panel: Panel | None = None) -> Predictor:
        """From other jobs, and this job's own runs where there are some."""
        if panel is None:
            return cls(prior, job, notes=("nothing of this very job is known: scores are utilities, not a metric",))
        found = arms(panel)
        untrained = [arm.score for arm in found if arm.untrained]
        zero = (max if panel.higher else min)(untrained, default=None)
        trained = [arm for arm in found if not arm.untrained]
        scale = _scale(prior, job, panel, trained) if trained else None
        curves = tuple(_curves(panel, trained))
        unit = panel.metric or "score"
        if scale is None and not curves:
            note = "the job's own runs trained nothing: scores are utilities, not a metric"
            return cls(prior, job, panel.higher, "utility", None, notes=(note,))
        return cls(prior, job, panel.higher, unit, zero, scale, curves, tuple(_notes(panel, trained, curves)))

    def better(self, estimate: Estimate) -> float:
        """The score on a scale where more is better."""
        return estimate.score if self.higher else -estimate.score

    def estimate(self, one: Candidate) -> Estimate:
        """What to expect of a candidate."""
        for method, scorer, curve, paid in self.curves:
            if (method == one.method or (method == PLAIN and one.method == FULL)) and scorer == one.scorer:
                score, half = curve.predict(one.training_flops + paid)
                if math.isfinite(half):
                    return Estimate(score, score - half, score + half, f"its own {curve.form} curve")
        guess = self.prior.guess(
            one.method, one.fraction, model_params=self.job.model_params, scorer_params=one.scorer_params
        )
        if self.scale is None:
            tried = "other jobs" if guess.sources else "no source has tried it: expected like random rows"
            return Estimate(guess.mean, guess.mean - _NORMAL * guess.sd, guess.mean + _NORMAL * guess.sd, tried)
        method = PLAIN if one.method == FULL else one.method
        offset, own = self.scale.offsets.get((method, one.scorer), (0.0, False))
        room = min(1.0, math.log(1 / min(one.fraction, 1 - 1e-9)) / math.log(40))
        score = self.scale.level + self.scale.slope * guess.mean + (offset if method == PLAIN else offset * room)
        sd = math.hypot(self.scale.slope * guess.sd * (0.7 if own else 1.0), self.scale.noise)
        half = self.scale.t * sd
        back = math.exp if self.scale.logarithm else float
        return Estimate(
            back(score), back(score - half), back(score + half), "other jobs, on the scale of this job's own runs"
        )


@dataclass(frozen=True)
class _Scale:
    """score (or its logarithm) = level + slope * utility + the method's own offset."""

    level: float
    slope: float
    noise: float
    t: float
    offsets: dict[tuple[str, str], tuple[float, bool]]
    logarithm: bool = False


def _scale(prior: Prior, job: Job, panel: Panel, trained: Sequence[Arm]) -> _Scale | None:
    """Ridge regression; the slope is held near what random's climb says with few arms.

    One arm alone fixes the level only, and the slope is a guess of 5 % of it a unit.
    """
    sized = [(arm, f) for arm, f in zip(trained, shares(trained, panel.full_flops or job.full_flops), strict=True) if f]
    if not sized:
        return None
    keys = [(PLAIN if arm.method == FULL else arm.method, arm.scorer) for arm, _ in sized]
    names = sorted(set(keys))
    u = np.array([
        prior.guess(
            arm.method, f, model_params=job.model_params, scorer_params=arm.runs[0].scorer_params
        ).mean
        for arm, f in sized
    ])  # fmt: skip
    score = np.array([arm.score for arm, _ in sized])
    logarithm = not panel.higher and bool(score.min() > 0)
    score = np.log(score) if logarithm else score
    spread = float(score.max() - score.min()) or (0.05 if logarithm else 0.05 * abs(float(score.mean()))) or 1.0
    sign = 1.0 if panel.higher else -1.0
    design = np.zeros((len(sized), 2 + len(names)))
    design[:, 0], design[:, 1] = 1.0, u
    design[np.arange(len(sized)), [2 + names.index(key) for key in keys]] = 1.0
    width = max(float(np.ptp(u)), 0.3)
    expected = np.array([0.0, sign * spread / width] + [0.0] * len(names))
    loose = np.array([1e6 * (abs(float(score.mean())) + spread), 2 * spread / width] + [_OFFSET * spread] * len(names))
    noise = 0.2 * spread
    precision = design.T @ design / noise**2 + np.diag(1 / loose**2)
    found = np.linalg.solve(precision, design.T @ score / noise**2 + expected / loose**2)
    left = score - design @ found
    free = max(len(sized) - 2, 1)
    residual = float(np.sqrt((left**2).sum() / free)) if len(sized) > 2 else noise
    offsets = {name: (float(found[2 + i]), True) for i, name in enumerate(names)}
    t = float(stdtrit(max(len(sized) - 1, 1), 0.975)) if len(sized) > 1 else 12.7
    return _Scale(float(found[0]), float(found[1]), max(residual, 0.1 * noise), min(t, 12.7), offsets, logarithm)


def _curves(panel: Panel, trained: Sequence[Arm]) -> list[tuple[str, str, Fit, float]]:
    found = []
    for curve in fit_panel(panel, trained, intervals=False):
        if curve.chosen and curve.points >= _ENOUGH:
            paid = curve.selection_flops
            found.append((curve.method, curve.scorer, curve, paid))
    return found


def _notes(panel: Panel, trained: Sequence[Arm], curves: Sequence[tuple[str, str, Fit, float]]) -> list[str]:
    notes = [f"{method}: {curve.warning}" for method, _, curve, _ in curves if curve.warning]
    counts: dict[str, int] = {}
    for arm in trained:
        counts[arm.method] = counts.get(arm.method, 0) + 1
    single = [method for method, many in counts.items() if many == 1 and method != FULL]
    if single:
        notes.append(
            f"one size only of {', '.join(single)}: no curve can be drawn; they are placed by what other jobs saw"
        )
    if all(run.seed is None for run in panel.runs):
        notes.append("the runs do not say their seeds: how much of a difference is chance cannot be told")
    falling = [
        method for method, _, curve, _ in curves
        if (curve.predict(curve.selection_flops + curve.full_flops)[0]
            - curve.predict(curve.selection_flops + 0.05 * curve.full_flops)[0]) * (1 if panel.higher else -1) < 0
    ]  # fmt: skip
    if falling:
        notes.append(f"the score of {', '.join(falling)} gets worse with compute: more training is expected to hurt")
    return notes
