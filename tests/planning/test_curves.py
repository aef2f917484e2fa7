"""Curves: a planted curve comes back, and nothing better can be found near it."""

import numpy as np
import pytest

from thresher.planning.arms import arms
from thresher.planning.curves import FORMS, fit
from thresher.planning.fits import fit_panel
from thresher.planning.results import Panel, Run

FULL = 4e18
SHARE = np.array([0.025, 0.05, 0.1, 0.25, 0.5, 1.0])


def planted(p0=40.0, p_bar=50.0, decay=6.0, selection=0.0):
    return SHARE * FULL + selection, (p_bar - p0) * -np.expm1(-decay * SHARE) + p0


def test_a_planted_curve_comes_back():
    total, score = planted(selection=2e18)
    curve = fit(total, score, selection=2e18, full_flops=FULL, p_bar=50.0)
    assert (curve.p0, curve.decay) == pytest.approx((40.0, 6.0), rel=1e-5)
    assert curve.r2 == pytest.approx(1.0)
    assert curve.at(float(total[2])) == pytest.approx(score[2])
    assert np.isnan(curve.at(1e18)), "below the selection bill nothing was trained"


def test_a_falling_loss_is_fitted_from_above():
    total, score = planted(p0=2.0, p_bar=1.2)
    curve = fit(total, score, full_flops=FULL, p_bar=1.2, higher=False)
    assert (curve.p0, curve.decay) == pytest.approx((2.0, 6.0), rel=1e-5)


def test_no_neighbour_of_the_fit_is_better():
    rng = np.random.default_rng(1)
    total, score = planted()
    score = score + rng.normal(0, 0.5, len(score))
    curve = fit(total, score, full_flops=FULL, p_bar=50.0)

    def error(p0, decay):
        return (((50 - p0) * -np.expm1(-decay * SHARE) + p0 - score) ** 2).sum()

    best = error(curve.p0, curve.decay)
    for p0 in curve.p0 + np.array([-0.01, 0, 0.01]):
        for decay in curve.decay * np.array([0.999, 1, 1.001]):
            assert error(p0, decay) >= best - 1e-9


def test_scores_that_only_fall_sit_on_a_bound_and_say_so():
    curve = fit(SHARE * FULL, 50 - SHARE, full_flops=FULL, p_bar=50.0)
    assert curve.at_bound


def test_log_linear_is_never_read_beyond_the_full_run():
    curve = fit(SHARE * FULL, 40 + np.log10(SHARE), form="log-linear", full_flops=FULL)
    assert curve.v == pytest.approx(1.0)
    assert curve.at(10 * FULL) == pytest.approx(40.0)


def test_every_form_is_fitted_and_one_is_chosen_with_an_interval_around_the_truth():
    rng = np.random.default_rng(0)
    _, score = planted()
    runs = [
        Run(method="a", model="m", task="t", metric="acc", score=float(s + rng.normal(0, 0.1)),
            fraction=float(f), seed=seed, selection_flops=0.0, training_flops=float(f * FULL))
        for f, s in zip(SHARE, score, strict=True) for seed in range(5)
    ]  # fmt: skip
    panel = Panel("t", "acc", "m", "", tuple(runs))
    fits = fit_panel(panel, arms(panel), p_bar=50.0)
    assert [f.form for f in fits] == list(FORMS)
    assert sum(f.chosen for f in fits) == 1
    low, high = fits[1].p0_interval
    assert low < 40.0 < high
    assert not fits[2].chosen, "the points saturate; a line through log compute does not"


def test_one_size_makes_no_curve_and_an_unknown_form_is_refused():
    one = Run(
        method="a", model="m", task="t", metric="", score=1.0, rows=1, selection_flops=0.0, training_flops=1.0
    )
    panel = Panel("t", "", "m", "", (one,))
    assert fit_panel(panel, arms(panel)) == []
    with pytest.raises(ValueError, match="two different costs"):
        fit([1.0], [1.0], full_flops=1.0)
    with pytest.raises(ValueError, match="the forms are published, shifted"):
        fit([1.0, 2.0], [1.0, 2.0], form="cubic", full_flops=1.0)
