"""Break-even, crossings and the paper's simulation, by its own numbers."""

import numpy as np
import pytest

from thresher.planning.breakeven import crossing, gain_left, runs_to_pay, simulate, size_ratio

ROWS = 1.001e8
SMALL, MEDIUM, LARGE = (ROWS * cost for cost in (4.5e10, 4.5e11, 9e12))


def test_the_simulation_crosses_where_the_paper_s_constants_say():
    first, second = crossing(10, 0.0, 40, 1.5e18), crossing(40, 1.5e18, 80, 4.5e18)
    assert first == pytest.approx(2.0e18)
    assert second == pytest.approx(7.5e18)
    assert gain_left(10, 0.0, MEDIUM, first) == pytest.approx(1 - 0.359, abs=5e-4)
    assert gain_left(40, 1.5e18, LARGE, second) == pytest.approx(1 - 0.234, abs=5e-4)
    assert gain_left(10, 0.0, SMALL, first) < 0.012, "99 % of the gain is gone by the first crossing"


@pytest.mark.parametrize("full", [SMALL, MEDIUM, LARGE])
def test_simulated_curves_meet_at_their_crossing_and_change_places(full):
    at = np.array([1.99e18, 2.0e18, 2.01e18])
    gap = simulate(40, 1.5e18, full, at) - simulate(10, 0.0, full, at)
    assert gap[1] == pytest.approx(0, abs=1e-9)
    assert gap[0] < 0 < gap[2]
    assert np.isnan(simulate(40, 1.5e18, full, np.array([1e18]))).all(), "nothing is trained below the bill"


def test_sharing_and_larger_models_never_hurt_an_expensive_method():
    assert runs_to_pay(8e18, 1e18, 3e18) == pytest.approx(4.0)
    assert runs_to_pay(8e18, 3e18, 3e18) is None
    assert size_ratio(1.8, 0.1, 0.3, runs=2) < size_ratio(1.8, 0.1, 0.3, runs=1)
    assert size_ratio(1 / 3, 0.05, 0.05 + 0.0667) == pytest.approx(5, rel=0.01)
    assert size_ratio(1.8, 0.3, 0.1) is None


def test_curves_that_never_meet_say_so():
    assert crossing(10, 0.0, 10, 1.0) is None
    assert crossing(40, 1.5e18, 10, 2e18) is None
