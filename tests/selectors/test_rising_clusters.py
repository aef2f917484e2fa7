"""Clusters of planted loss curves; the bounds that leave rising and high ones out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thresher.core.method import Subset
from thresher.data.planted_curves import FAMILIES, planted_curves
from thresher.errors import FieldError, KindError
from thresher.selectors._kmeans import kmeans
from thresher.selectors.cluster_balanced import ClusterBalanced
from thresher.selectors.stratified_clusters import StratifiedClusters

HIGH, LOW, EARLY, LATE, RISE, NOISE = range(len(FAMILIES))
UNEVEN = (0.4, 0.25, 0.15, 0.1, 0.06, 0.04)


def choose(feature: np.ndarray, budget: float, *, label: np.ndarray | None = None, **fields: Any) -> Subset:
    selector: Any = ClusterBalanced(**fields) if label is None else StratifiedClusters(**fields)
    values = (feature,) if label is None else (label, feature)
    return selector.choose(*values, price=np.ones(len(feature)), budget=budget, rng=np.random.default_rng(0))


@pytest.mark.parametrize("shares", [None, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("t", [4, 12, 40])
def test_families_are_found_and_share_the_budget(t: int, shares: tuple[float, ...] | None):
    feature, family = planted_curves(1800, t, shares=shares)
    label = kmeans(feature, 6, iterations=20, sample=256_000, seed=0).label
    common = [np.bincount(family[label == c]).max() for c in range(6)]
    assert sum(common) / 1800 > 0.95
    taken = np.bincount(family[choose(feature, 250.0, clusters=6).index], minlength=6)
    assert taken.sum() == 250
    assert taken.max() - taken.min() <= 1


def test_the_order_of_the_points_changes_no_cluster():
    feature, _ = planted_curves(900)
    moved = feature[:, np.random.default_rng(1).permutation(12)]
    one, two = (kmeans(x, 6, iterations=20, sample=256_000, seed=0).label for x in (feature, moved))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("label", [None, np.arange(1200) % 3], ids=["global", "by group"])
def test_same_seed_same_bytes(label: np.ndarray | None):
    feature, _ = planted_curves(1200)
    one, two = (choose(feature, 200.0, label=label, clusters=10) for _ in range(2))
    assert (one.index.tobytes(), one.gain.tobytes(), one.notes) == (two.index.tobytes(), two.gain.tobytes(), two.notes)


@pytest.mark.parametrize(
    ("bounds", "gone"),
    [
        ({"max_rise": 1.0}, {RISE}),
        ({"max_level": 0.85}, {HIGH}),
        ({"max_rise": 1.0, "max_level": 0.85}, {RISE, HIGH}),
        ({"max_rise": -1.0}, {HIGH, LOW, RISE, NOISE}),
    ],
    ids=str,
)
@pytest.mark.parametrize("grouped", [False, True], ids=["global", "by group"])
def test_clusters_that_rise_or_stay_high_are_left_out(bounds: dict[str, float], gone: set[int], grouped: bool):
    feature, family = planted_curves(1200)
    label = np.arange(1200) % 2 if grouped else None
    subset = choose(feature, 1200.0, label=label, clusters=6, **bounds)
    assert set(family[subset.index].tolist()) == set(range(6)) - gone
    assert len(subset) == 200 * (6 - len(gone)), "what is left out is not filled up from elsewhere"
    clusters = len(gone) * (2 if grouped else 1)
    assert f"{clusters} clusters of {200 * len(gone)} rows together are left out" in subset.notes[1]
    assert "part of the budget is unspent" in subset.notes[2]
    smaller = choose(feature, 90.0, label=label, clusters=6, **bounds)
    np.testing.assert_array_equal(smaller.index, subset.index[:90])
    assert len(smaller.notes) == 2, "the smaller budget is spent"


@pytest.mark.parametrize("bounds", [{"max_rise": -9.0}, {"max_rise": 0.0}], ids=str)
@pytest.mark.parametrize("grouped", [False, True], ids=["global", "by group"])
def test_bounds_that_leave_nothing_are_refused(bounds: dict[str, float], grouped: bool):
    feature = 2.0 + planted_curves(60)[0][:, :4]
    feature[:, -1] = feature[:, 0] + 1.0
    with pytest.raises(FieldError, match="no row is left"):
        choose(feature, 10.0, label=np.arange(60) % 2 if grouped else None, clusters=3, **bounds)


def test_a_group_that_is_left_out_whole_leaves_its_share_to_others():
    feature, family = planted_curves(600)
    subset = choose(feature, 300.0, label=(family == RISE).astype(np.int64), clusters=5, max_rise=1.0)
    assert len(subset) == 300
    assert not (family[subset.index] == RISE).any()


@pytest.mark.parametrize("bounds", [{"max_rise": 1.0}, {"max_level": 0.9}], ids=str)
def test_bounds_want_losses_over_time(bounds: dict[str, float]):
    feature = np.random.default_rng(0).normal(size=(40, 5))
    with pytest.raises(KindError, match="values below 0"):
        choose(feature, 10.0, clusters=3, **bounds)
    with pytest.raises(KindError, match="one column"):
        choose(np.ones((40, 1)), 10.0, clusters=3, **bounds)


@pytest.mark.parametrize("fields", [{"clusters": 0}, {"sample": 0}, {"iterations": -1}, {"max_level": 1.5}], ids=str)
def test_fields_without_a_meaning_are_refused(fields: dict[str, Any]):
    with pytest.raises(FieldError, match="cluster_balanced: "):
        choose(np.ones((20, 3)), 5.0, **fields)
