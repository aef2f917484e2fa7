"""The frontier of fitted curves and their crossing points: planted curves, and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thresher.planning.arms import Arm, arms
from thresher.planning.crossings import curve_frontier
from thresher.planning.curves import Fit
from thresher.planning.fits import fit_panel
from thresher.planning.results import Panel, Run

FULL = 1e18


def curve(method: str, decay: float, selection: float, p_bar: float = 100.0) -> list[Run]:
    """Points on a shifted curve from 0 up to p_bar."""
    return [
        Run(method=method, model="m", task="t", metric="accuracy", fraction=f, selection_flops=selection,
            training_flops=f * FULL, score=-p_bar * math.expm1(-decay * f))
        for f in (0.01, 0.02, 0.05, 0.1, 0.3, 0.6)
    ]  # fmt: skip


def found(*lines: list[Run]) -> tuple[list[Fit], list[Arm], dict]:
    panel = Panel("t", "accuracy", "m", "", tuple(run for line in lines for run in line))
    arms_ = arms(panel)
    fits = [fit for fit in fit_panel(panel, arms_, 100.0, intervals=False) if fit.form == "shifted"]
    fits = [Fit(**{**vars(fit), "chosen": True}) for fit in fits]
    return fits, arms_, curve_frontier(fits, arms_, higher=True)


def test_a_planted_crossing_is_found_where_it_was_planted():
    """C* = (lambda_2 S_2 - lambda_1 S_1) / (lambda_2 - lambda_1)."""
    _, _, said = found(curve("cheap", 5.0, 0.0), curve("dear", 20.0, 6e16))
    (met,) = said["crossings"]
    assert met["at"] == pytest.approx(20 * 6e16 / 15, rel=1e-3)
    assert (met["before"]["method"], met["after"]["method"]) == ("cheap", "dear")
    assert met["certain"], "the points lie on their curves exactly"
    assert [one["method"] for one in said["frontier"]] == ["cheap", "dear"]
    assert said["frontier"][0]["to"] == pytest.approx(met["at"]) == said["frontier"][1]["from"]


def test_the_frontier_is_never_below_any_curve_and_leaves_no_gap():
    fits, arms_, said = found(curve("a", 5.0, 0.0), curve("b", 20.0, 6e16), curve("c", 80.0, 2e17))
    stretches = said["frontier"]
    assert all(one["to"] == two["from"] for one, two in zip(stretches, stretches[1:], strict=False))
    assert stretches[0]["from"] == min(arm.total_flops for arm in arms_)
    assert stretches[-1]["to"] == pytest.approx(max(arm.total_flops for arm in arms_))
    by_name = {fit.method: fit for fit in fits}
    ends = {fit.method: [arm.total_flops for arm in arms_ if arm.method == fit.method] for fit in fits}
    for cost in np.geomspace(stretches[0]["from"] * 1.01, stretches[-1]["to"] * 0.99, 50):
        (lead,) = [one["method"] for one in stretches if one["from"] <= cost < one["to"]]
        standing = {m: fit.at(min(cost, max(ends[m]))) for m, fit in by_name.items() if cost >= min(ends[m])}
        assert standing[lead] >= max(standing.values()) - 1e-6


def test_two_points_or_parallel_curves_cross_nowhere():
    one, other = curve("a", 5.0, 0.0), curve("b", 5.0, 5e15)
    assert found(one, other)[2]["crossings"] == []
    assert found(one[:2])[2] == {
        "frontier": [], "crossings": [], "notes": ["a: fewer than 3 sizes, so no curve is drawn"],
    }  # fmt: skip


def test_a_score_that_falls_with_compute_is_said():
    falling = [Run(**{**vars(run), "score": 100 - run.score}) for run in curve("a", 5.0, 0.0)]
    runs = Panel("t", "accuracy", "m", "", tuple(falling))
    said = curve_frontier(fit_panel(runs, arms(runs), intervals=False), arms(runs), higher=True)
    assert any(note.startswith("a: ") and ("worse" in note or "flat" in note) for note in said["notes"])


def test_curves_that_scatter_cross_without_certainty():
    rng = np.random.default_rng(1)
    noisy = [
        [Run(**{**vars(run), "score": run.score + float(rng.normal(0, 4))}) for run in line]
        for line in (curve("a", 5.0, 0.0), curve("b", 6.0, 3e16))
    ]
    met = found(*noisy)[2]["crossings"]
    assert met
    assert not any(one["certain"] for one in met)
