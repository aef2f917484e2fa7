"""Intervals hold what they promise under planted noise of seeds and rows; Holm by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from thresher.planning.bootstrap import holm, paired_bootstrap


def planted(rng: np.random.Generator, m: int, n: int, seeds: float, rows: float, rest: float = 0.3) -> np.ndarray:
    """Differences whose true mean is 0."""
    return rng.normal(0, seeds, (m, 1)) + rng.normal(0, rows, (1, n)) + rng.normal(0, rest, (m, n))


@pytest.mark.parametrize(("seeds", "rows"), [(1.0, 0.1), (0.0, 2.0), (0.3, 3.0)])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: float, rows: float):
    rng = np.random.default_rng(1)
    times = 150
    held = sum(
        one.low <= 0 <= one.high
        for one in (paired_bootstrap(planted(rng, 3, 40, seeds, rows), draws=300, seed=i) for i in range(times))
    )
    assert held / times > 0.9  # 0.95 less three standard errors of this count
    assert held < times  # not by being endless


def test_without_noise_of_rows_it_is_the_paired_t_interval():
    of_seed = np.array([0.3, 0.5, 0.9, 0.2])
    one = paired_bootstrap(np.repeat(of_seed[:, None], 50, axis=1), draws=20000)
    low, high = stats.t.interval(0.95, 3, of_seed.mean(), stats.sem(of_seed))
    assert (one.low, one.high) == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))
    assert one.se_rows == pytest.approx(0)
    assert one.p == pytest.approx(stats.ttest_1samp(of_seed, 0).pvalue, abs=0.01)


def test_with_one_seed_it_is_the_interval_of_rows():
    row = np.random.default_rng(0).normal(0.2, 1, (1, 200))
    one = paired_bootstrap(row, draws=20000)
    low, high = stats.t.interval(0.95, 199, row.mean(), stats.sem(row[0]))
    assert (one.low, one.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    assert math.isnan(one.se_seeds)
    with pytest.raises(ValueError, match="one seed"):
        one.detectable(seeds=3)


def test_a_sign_turns_everything_round_and_the_same_draws_give_the_same():
    values = planted(np.random.default_rng(2), 3, 30, 0.5, 0.5) + 0.2
    one, other = paired_bootstrap(values), paired_bootstrap(-values)
    assert (other.mean, other.low, other.high) == (-one.mean, pytest.approx(-one.high), pytest.approx(-one.low))
    assert other.p == pytest.approx(one.p)
    assert paired_bootstrap(values) == one


def test_a_difference_that_can_be_seen_is_seen_four_times_in_five():
    rng = np.random.default_rng(3)
    first = paired_bootstrap(planted(rng, 5, 60, 0.5, 1.0), draws=500)
    truth = math.sqrt(0.5**2 / 5 + 1.0 / 60)
    assert first.detectable() == pytest.approx(3.4 * truth, rel=0.6)
    assert first.detectable(seeds=20, rows=240) < 0.62 * first.detectable()
    assert first.detectable(rows=10**6) > 0.5 * first.detectable()  # no number of rows makes up for seeds


def test_no_difference_at_all_is_no_finding():
    one = paired_bootstrap(np.zeros((3, 10)))
    assert (one.low, one.high, one.p) == (0, 0, 1)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("differences", [np.full((3, 4), 0.1), np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros((2, 5))])
def test_differences_that_average_out_over_seeds_and_rows_have_a_detectable_difference(differences: np.ndarray):
    one = paired_bootstrap(differences)
    assert one.detectable() == pytest.approx(one.detectable(seeds=len(differences)))
    assert 0.0 <= one.detectable() < 20 * max(one.se, 1e-15)
