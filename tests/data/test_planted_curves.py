"""The six families are what they are called."""

import numpy as np
import pytest

from thresher.data.planted_curves import FAMILIES, HIGH, LOW, planted_curves


@pytest.mark.parametrize("t", [4, 12, 40])
def test_each_family_does_what_it_says(t: int):
    feature, family = planted_curves(600, t, seed=1)
    assert feature.shape == (600, t)
    assert feature.dtype == np.float32
    assert np.bincount(family).tolist() == [100] * 6
    assert feature.min() >= 0
    mean = {name: feature[family == i].mean(axis=0) for i, name in enumerate(FAMILIES)}
    half = t // 2
    near = {"rtol": 0, "atol": 0.25}
    np.testing.assert_allclose(mean["constant high"], HIGH, **near)
    np.testing.assert_allclose(mean["constant low"], LOW, **near)
    np.testing.assert_allclose(mean["early drop"][half:], LOW, **near)
    np.testing.assert_allclose(mean["late drop"][:half], HIGH, **near)
    for name, ends in {"early drop": (HIGH, LOW), "late drop": (HIGH, LOW), "rise": (LOW, HIGH)}.items():
        np.testing.assert_allclose(mean[name][[0, -1]], ends, **near)
    away = [(feature[family == i] - mean[name]).std() for i, name in enumerate(FAMILIES)]
    assert away[-1] > 3 * max(away[:-1])


def test_seed_and_shares():
    a, b, c = (planted_curves(50, seed=s)[0] for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    family = planted_curves(1000, shares=(0.5, 0.1, 0.1, 0.1, 0.1, 0.1))[1]
    assert np.bincount(family).tolist() == [500, 100, 100, 100, 100, 100]
