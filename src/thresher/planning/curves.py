"""Score as a function of compute: three forms, two free constants each.

    published   (p_bar - p0) (1 - exp(-lambda C / C_D)) + p0         C = total FLOPs
    shifted     the same with C - S in the exponent                  S = FLOPs of selection
    log-linear  u + v log10((C - S) / 1e18)                          never read beyond the full run

Source:  Yin & Rush 2025, "Compute-Constrained Data Selection", arXiv:2410.16208 (published form).
Differs: the bounded least squares is solved exactly (least_squares.py). C_D is the full pool's training cost; only
         kappa = lambda / C_D is identified by the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from thresher.planning.least_squares import UNIT, line_through, saturating

FORMS = ("published", "shifted", "log-linear")


@dataclass(frozen=True)
class Fit:
    """One fitted curve.

    Attributes:
        kappa: lambda per 1e18 FLOPs; None for the log-linear form.
        loo: root mean squared error of every point predicted from the others; None below 4 points.
        aicc: Akaike's criterion corrected for few points; None below 5 points. All forms have as many constants, so
            between them it orders by the sum of squares; it says by how much one is likelier than another.
        p0_interval: bootstrap 95 %, over seeds where every arm has several, else over points.
        chosen: smallest corrected AIC among the forms of its method; by `loo` at 4 points, `shifted` below.
        chosen_by: `aicc`, `loo` or `points`.
        residual: standard deviation of a point around the curve, on points - 2 degrees of freedom.
        middle, width: mean and root of the summed squares of log training cost, for the interval of a prediction.
    """

    method: str
    form: str
    points: int
    selection_flops: float
    full_flops: float
    higher: bool
    r2: float | None
    p0: float | None = None
    kappa: float | None = None
    p_bar: float | None = None
    u: float | None = None
    v: float | None = None
    at_bound: bool = False
    loo: float | None = None
    p0_interval: tuple[float, float] | None = None
    kappa_interval: tuple[float, float] | None = None
    chosen: bool = False
    chosen_by: str = ""
    scorer: str = ""
    aicc: float | None = None
    residual: float | None = None
    middle: float = 0.0
    width: float = 0.0

    @property
    def warning(self) -> str:
        """What not to read into its constants; empty where they are free."""
        if not self.at_bound:
            return ""
        if self.kappa == 0:
            return "lambda sits on its bound 0: the scores do not rise with compute, and the curve is flat"
        if self.p0 == self.p_bar:
            return "p0 sits on its bound, the ceiling: the scores do not rise with compute, and the curve is flat"
        return "p0 sits on its bound and is not what the untrained model scores; only the curve's course has a meaning"

    @property
    def decay(self) -> float | None:
        """The paper's lambda: kappa times the full pool's training cost."""
        return None if self.kappa is None else self.kappa * self.full_flops / UNIT

    def at(self, total_flops: float) -> float:
        """The score it predicts; NaN where the method cannot have trained at all."""
        cost = total_flops - (0.0 if self.form == "published" else self.selection_flops)
        if cost < 0 or (cost == 0 and self.form == "log-linear"):
            return math.nan
        if self.form == "log-linear":
            return self.u + self.v * math.log10(min(cost, self.full_flops) / UNIT)
        return (self.p_bar - self.p0) * -math.expm1(-self.kappa * cost / UNIT) + self.p0

    def predict(self, total_flops: float) -> tuple[float, float]:
        """The score and half its 95 % interval; infinite with two points, which no curve can miss.

        half = t_{0.975, points - 2} * residual * sqrt(1 + 1/points + (x - middle)^2 / width^2), x = log training cost:
        wide with few points, and wider the further it reads beyond them.
        """
        score = self.at(total_flops)
        if self.residual is None or self.points < 3:
            return score, math.inf
        away = math.log(max(total_flops - self.selection_flops, 1.0)) - self.middle
        reach = 1 + 1 / self.points + (away / self.width) ** 2 if self.width > 0 else math.inf
        return score, float(stdtrit(self.points - 2, 0.975)) * self.residual * math.sqrt(reach)

    def line(self) -> list[tuple[float, float]]:
        """(total FLOPs, score) from 1 % of the full run's training to all of it, for drawing."""
        training = np.geomspace(0.01, 1, 60) * self.full_flops
        return [(float(c), self.at(float(c))) for c in training + self.selection_flops]

    def to_dict(self) -> dict[str, object]:
        """The contract's keys and a few more, for JSON."""
        interval = {"p0": self.p0_interval, "kappa_per_1e18": self.kappa_interval}
        return {
            "method": self.method,
            "scorer": self.scorer,
            "form": self.form,
            "p0": self.p0,
            "kappa_per_1e18": self.kappa,
            "p_bar": self.p_bar,
            "interval": None if self.kappa_interval is None else interval,
            "at_bound": self.at_bound,
            "warning": self.warning,
            "lambda": self.decay,
            "u": self.u,
            "v": self.v,
            "r2": self.r2,
            "loo": self.loo,
            "aicc": self.aicc,
            "chosen_by": self.chosen_by,
            "points": self.points,
            "selection_flops": self.selection_flops,
            "chosen": self.chosen,
            "line": self.line(),
        }


def fit(
    total: Sequence[float] | np.ndarray,
    score: Sequence[float] | np.ndarray,
    *,
    form: str = "shifted",
    selection: float = 0.0,
    full_flops: float,
    p_bar: float | None = None,
    score_se: Sequence[float] | np.ndarray | None = None,
    higher: bool = True,
    method: str = "",
) -> Fit:
    """Bounded least squares on the points of one method, weighted by 1 / score_se^2 where given.

    The ceiling `p_bar` is held fixed: by default the best of these scores (a panel's best is better).
    `full_flops` is the training cost of one run on the whole pool, `selection` what choosing costs.

    Raises:
        ValueError: a form that does not exist, or fewer than two points.
    """
    if form not in FORMS:
        raise ValueError(f"form is {form!r}; the forms are {', '.join(FORMS)}")
    score = np.asarray(score, dtype=np.float64)  # (t,)
    cost = np.asarray(total, dtype=np.float64) - (0.0 if form == "published" else selection)  # (t,)
    weight = np.ones_like(score) if score_se is None else 1 / np.asarray(score_se, dtype=np.float64) ** 2
    weight = weight * (cost > 0)  # an untrained point is on no curve of training
    if np.unique(cost[cost > 0]).size < 2:
        raise ValueError("a curve needs runs at two different costs at least")
    start = Fit(method, form, int((cost > 0).sum()), selection, full_flops, higher, None)
    if form == "log-linear":
        u, v = line_through(cost, score[None], weight[None])
        found = replace(start, u=float(u[0]), v=float(v[0]))
    else:
        ceiling = float(p_bar) if p_bar is not None else float(score.max() if higher else score.min())
        p0, decay = saturating(cost / full_flops, score[None], weight[None], ceiling, higher)
        lowest = 0.0 if higher else ceiling
        bound = bool(p0[0] == lowest or p0[0] == ceiling or decay[0] == 0)
        found = replace(
            start, p0=float(p0[0]), kappa=float(decay[0]) / full_flops * UNIT, p_bar=ceiling, at_bound=bound
        )
    whole = np.asarray(total, dtype=np.float64)
    return _judged(replace(found, r2=_r2(found, whole, score, weight)), whole, score, weight)


def _judged(curve: Fit, total: np.ndarray, score: np.ndarray, weight: np.ndarray) -> Fit:
    """With its residual, its corrected AIC and what the interval of a prediction needs."""
    use = weight > 0
    points, w = curve.points, weight[use] / weight[use].mean()
    squares = float((w * (score[use] - [curve.at(float(c)) for c in total[use]]) ** 2).sum())
    x = np.log(np.maximum(total[use] - curve.selection_flops, 1.0))
    return replace(
        curve,
        residual=math.sqrt(squares / (points - 2)) if points > 2 else None,
        aicc=corrected_aic(squares, points),
        middle=float(x.mean()),
        width=float(np.sqrt(((x - x.mean()) ** 2).sum())),
    )


def corrected_aic(squares: float, points: int, constants: int = 2) -> float | None:
    """AICc: n log(RSS / n) + 2 k + 2 k (k + 1) / (n - k - 1), k = constants and the noise; None below k + 2 points."""
    k = constants + 1
    if points < k + 2:
        return None
    likely = points * math.log(max(squares, 1e-300) / points)
    return likely + 2 * k + 2 * k * (k + 1) / (points - k - 1)


def _r2(curve: Fit, total: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float | None:
    use = weight > 0
    left = score[use] - [curve.at(float(c)) for c in total[use]]
    spread = score[use] - np.average(score[use], weights=weight[use])
    whole = float((weight[use] * spread**2).sum())
    return None if whole == 0 else 1 - float((weight[use] * left**2).sum()) / whole
