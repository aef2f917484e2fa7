"""Correlations and clusterings by hand."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.inspecting.agreement import adjusted_rand, curves_agree, length_confound, pearson, ranks, spearman


def test_pearson_by_hand_and_nan_where_a_curve_does_not_move():
    a = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 2.0, 4.0], [5.0, 5.0, 5.0]])
    b = np.array([[10.0, 20.0, 30.0], [3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [1.0, 2.0, 3.0]])
    r = pearson(a, b)
    # third row: deviations (-4/3, -1/3, 5/3) and (-1, 1, 0): 1 / sqrt(42/9 * 2)
    assert r[:3] == pytest.approx([1.0, -1.0, 1 / np.sqrt(42 / 9 * 2)])
    assert np.isnan(r[3])


def test_equal_values_share_a_rank():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert spearman(np.array([1, 2, 3, 4]), np.array([1.0, 8.0, 27.0, 1e9])) == pytest.approx(1.0)
    # ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15)
    assert spearman(np.array([1, 2, 3, 4]), np.array([2, 1, 4, 3])) == pytest.approx(0.6)


def test_adjusted_rand_by_hand():
    a, b = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
    # pairs together in both 2, in a 6, in b 3, of 15: chance 6 * 3 / 15 = 1.2, most 4.5
    assert adjusted_rand(a, b) == pytest.approx((2 - 1.2) / (4.5 - 1.2))
    assert adjusted_rand(a, 7 - a) == 1.0, "names of clusters do not matter"
    assert adjusted_rand(np.zeros(5, int), np.zeros(5, int)) == 1.0


def test_adjusted_rand_of_unrelated_clusterings_is_about_nothing():
    rng = np.random.default_rng(0)
    assert abs(adjusted_rand(rng.integers(5, size=4000), rng.integers(5, size=4000))) < 0.01


def families(rng: np.random.Generator, m: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of three shapes: early drop, late drop, high."""
    shapes = np.array([[3.0, 1.0, 1.0, 0.9], [3.0, 3.0, 2.9, 1.0], [5.0, 4.9, 4.8, 4.7]])
    which = np.arange(m) % 3
    return shapes[which] + noise * rng.normal(size=(m, 4)), which


def test_curves_of_the_same_families_agree_and_shuffled_rows_do_not():
    rng = np.random.default_rng(0)
    proxy, _ = families(rng, 90, 0.02)
    target = 0.5 * proxy + 0.3 + 0.005 * rng.normal(size=proxy.shape)
    same = curves_agree(proxy, target, clusters=3, seed=0)
    assert same["clusters"] == 3
    assert same["adjusted_rand"] == same["adjusted_rand_of_another_start"] == 1.0
    assert same["pearson_median"] > 0.99
    assert same["rest_median"] > 0.95
    assert min(same["spearman"]) > 0.8
    mixed = curves_agree(proxy, target[rng.permutation(90)], clusters=3, seed=0)
    assert mixed["pearson_median"] > 0.6, "all curves fall: that alone correlates"
    assert abs(mixed["rest_median"]) < 0.75
    assert max(abs(value) for value in mixed["spearman"]) < 0.4
    assert abs(mixed["adjusted_rand"]) < 0.15


def test_longer_answers_with_lower_losses_are_said_to_confound():
    tokens = np.array([5, 10, 20, 40])
    losses = np.array([[4.0, 3.0], [3.0, 2.0], [2.5, 1.0], [1.0, 0.5]])
    said = length_confound(losses, tokens)
    assert said["spearman"] == pytest.approx(-1.0)
    assert said["tokens"] == {"median": 15.0, "highest": 40}


def test_two_points_have_no_correlation():
    curves = np.random.default_rng(0).normal(size=(20, 2))
    said = curves_agree(curves, -curves, clusters=2, seed=0)
    assert (said["pearson"], said["pearson_median"], said["rest_median"]) == ([], None, None)
    assert said["spearman"] == pytest.approx([-1.0, -1.0])
