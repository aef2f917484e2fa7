"""Signals over a recording are their formulas, on numbers written down by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from thresher.core.pool import Pool
from thresher.errors import BudgetError, FieldError, KindError
from thresher.selectors.pruned_clusters import PrunedClusters
from thresher.selectors.round_robin import RoundRobin
from thresher.selectors.top_k import TopK
from thresher.signals.at_point import AtPoint
from thresher.signals.cld import CLD, Course
from thresher.signals.learnability import Learnability
from thresher.signals.length import Length
from thresher.signals.recording import Recording
from thresher.signals.slope import Slope
from thresher.signals.trajectory import Trajectory

START = Recording(model="m", include_start=True, points=4)
LOSS = np.array(
    [[5.0, 4.0, 3.0, 2.5, 2.0], [3.0, 3.0, 3.0, 3.0, 3.0], [2.0, 2.2, 2.4, 2.6, 2.8], [6.0, 3.0, 2.0, 1.0, 0.5]]
)
VALUES = np.concatenate([LOSS, np.exp(-LOSS), np.exp(-LOSS / 2)], axis=1)  # (4, 3 x 5), the untrained proxy first
ROWS = Pool.from_messages([[{"role": "text", "content": str(i)}] for i in range(4)])


@pytest.fixture
def state(tmp_path: Path) -> str:
    """A recording's folder, as far as these signals look into it."""
    (tmp_path / "about.json").write_text(json.dumps({"steps": [0, 1, 2, 3, 4], "total_steps": 4}))
    return str(tmp_path)


def test_the_plain_trajectory_is_the_losses_without_the_untrained_proxys(state):
    assert_allclose(Trajectory(recording=START).measure_over(state, ROWS, VALUES), LOSS[:, 1:])
    assert_allclose(Trajectory(recording=START, start=True).measure_over(state, ROWS, VALUES), LOSS)
    assert_allclose(
        Trajectory(recording=START, of="probability").measure_over(state, ROWS, VALUES), np.exp(-LOSS[:, 1:]), rtol=1e-6
    )


@pytest.mark.parametrize(("thin", "kept"), [(1, [1, 2, 3, 4]), (2, [2, 4]), (3, [1, 4]), (4, [4])])
def test_thinned_points_end_with_the_last(thin: int, kept: list[int], state):
    assert_allclose(Trajectory(recording=START, thin=thin).measure_over(state, ROWS, VALUES), LOSS[:, kept])


def test_differences_logarithm_and_shape(state):
    x = LOSS[:, 1:]
    made = {name: Trajectory(recording=START, change=name) for name in ("differences", "logarithm")}
    assert_allclose(made["differences"].measure_over(state, ROWS, VALUES), np.diff(x, axis=1), atol=1e-6)
    assert_allclose(made["logarithm"].measure_over(state, ROWS, VALUES), np.log(x), atol=1e-4)
    shape = Trajectory(recording=START, standardised=True)
    found = shape.measure_over(state, ROWS, VALUES)
    assert_allclose(found[[0, 2, 3]].mean(axis=1), 0, atol=1e-6)
    assert_allclose(found[[0, 2, 3]].std(axis=1), 1, atol=1e-5)
    assert_array_equal(found[1], 0, err_msg="a row that does not move has no shape")
    moved = np.concatenate([3 * LOSS + 7, VALUES[:, 5:]], axis=1)
    assert_allclose(shape.measure_over(state, ROWS, moved), found, atol=1e-5)


IN_FLIGHT = replace(START, capture="recorded", include_start=False)


@pytest.mark.parametrize(
    ("signal", "steps", "said"),
    [
        (Trajectory(recording=START, change="differences", thin=4), [0, 10, 20, 30, 40], "1 of 5 recorded points are"),
        (Trajectory(recording=START, start=True), [10, 20, 30, 40], "include_start = true"),
        (Trajectory(recording=IN_FLIGHT, change="logarithm"), [10, 20, 30, 40], "no logarithm"),
        (Learnability(recording=START), [10, 20, 40], r"wants the proxy at 0 of its run .* has 0.250, 0.500, 1.000"),
        (AtPoint(recording=START, at=0.6), [10, 20, 30, 40], r"wants the proxy at 0.6 of its run \(step 24\)"),
    ],
    ids=["differences", "start", "logarithm", "learnability", "at_point"],
)  # fmt: skip
def test_what_was_not_recorded_is_said(signal, steps: list[int], said: str, state):
    Path(state, "about.json").write_text(json.dumps({"steps": steps, "total_steps": 40}))
    with pytest.raises(FieldError, match=said):
        signal.measure_over(state, ROWS, VALUES)


def test_only_a_recording_has_points():
    with pytest.raises(KindError, match="not from length"):
        Trajectory(recording=Length(model="m"))


def test_one_point_or_the_mean_of_all(state):
    assert_allclose(AtPoint(recording=START, at=0.5).measure_over(state, ROWS, VALUES), LOSS[:, 2])
    assert_allclose(AtPoint(recording=START).measure_over(state, ROWS, VALUES), LOSS[:, 4])
    mean = AtPoint(recording=START, of="confidence", mean=True).measure_over(state, ROWS, VALUES)
    assert_allclose(mean, np.exp(-LOSS[:, 1:] / 2).mean(axis=1), rtol=1e-6)


def test_learnable_rows_come_first_and_the_other_sign_puts_them_last(state):
    score = Learnability(recording=START).measure_over(state, ROWS, VALUES)
    assert_allclose(score, [3.0, 0.0, -0.8, 5.5], atol=1e-6)
    budget = {"price": np.ones(4), "budget": 4.0, "rng": np.random.default_rng(0)}
    order = TopK().choose(score, **budget).index
    assert order.tolist() == [3, 0, 1, 2]
    assert TopK(highest=False).choose(score, **budget).index.tolist() == order[::-1].tolist()
    relative = Learnability(recording=START, relative=True).measure_over(state, ROWS, VALUES)
    assert_allclose(relative, [0.6, 0.0, -0.4, 5.5 / 6], atol=1e-6)


def test_the_slope_is_that_of_least_squares_and_prunes(state):
    slope = Slope(recording=START).measure_over(state, ROWS, VALUES)
    assert_allclose(slope, [np.polyfit(np.arange(4), row[1:], 1)[0] for row in LOSS], atol=1e-6)
    feature = np.diff(LOSS[:, 1:], axis=1)
    given = {"price": np.ones(4), "budget": 4.0, "rng": np.random.default_rng(0)}
    chosen = PrunedClusters().choose(slope, feature, **given)
    assert sorted(chosen.index.tolist()) == [0, 3], "rows that do not fall are left out, whatever the budget"
    assert chosen.notes[0].startswith("2 of 4 rows left out")
    with pytest.raises(BudgetError, match="no row's score is at most -9"):
        PrunedClusters(most=-9.0).choose(slope, feature, **given)


ALONG = replace(START, with_target=True)


def correlation(loss: np.ndarray, target: np.ndarray, state: str) -> np.ndarray:
    values = np.concatenate([loss, loss, loss], axis=1)
    rows = Pool.from_messages([[{"role": "text", "content": str(i)}] for i in range(len(loss))])
    return CLD(recording=ALONG).measure_over(Course(state, np.diff(target, axis=1)), rows, values)


def test_cld_is_pearson_of_differences_whatever_the_scale(state):
    rng = np.random.default_rng(0)
    loss, target = np.cumsum(rng.normal(size=(6, 13)), axis=1), np.cumsum(rng.normal(size=(2, 13)), axis=1)
    found = correlation(loss, target, state)
    want = [[np.corrcoef(np.diff(row), np.diff(near))[0, 1] for near in target] for row in loss]
    assert_allclose(found, want, atol=1e-6)
    assert_allclose(correlation(4 * loss + 9, target, state), found, atol=1e-5)
    same = correlation(np.stack([target[0], -target[0], np.full(13, 2.5)]), target, state)[:, 0]
    assert_allclose(same, [1, -1, 0], atol=1e-6)


def test_rows_that_follow_the_target_come_first_though_all_losses_fall(state):
    """Losses themselves correlate whatever the rows are: all fall."""
    rng = np.random.default_rng(1)
    fall = np.linspace(5, 1, 13)
    shock = rng.normal(scale=0.1, size=13).cumsum()
    own = rng.normal(scale=0.1, size=(20, 13)).cumsum(axis=1)
    loss = fall + np.where(np.arange(20)[:, None] < 5, shock + 0.05 * own, own)
    found = correlation(loss, (fall + shock)[None], state)
    chosen = RoundRobin().choose(found, price=np.ones(20), budget=5.0, rng=rng)
    assert sorted(chosen.index.tolist()) == [0, 1, 2, 3, 4]


def test_cld_wants_the_target_and_three_differences():
    with pytest.raises(FieldError, match=r"recording.with_target = true"):
        CLD(recording=START)
    with pytest.raises(FieldError, match="three differences"):
        CLD(recording=replace(ALONG, points=2))
