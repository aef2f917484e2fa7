"""Farthest-first: its radius against the best there is, planted clusters, copies."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from thresher.selectors.k_center import KCenter


def order(feature: np.ndarray, k: int) -> np.ndarray:
    return KCenter().choose(feature, price=np.ones(len(feature)), budget=float(k), rng=np.random.default_rng(0)).index


def radius(distance: np.ndarray, rows: np.ndarray) -> float:
    return float(distance[:, rows].min(axis=1).max())


@pytest.mark.parametrize("seed", range(6))
def test_the_radius_is_at_most_twice_the_best(seed: int):
    feature = np.random.default_rng(seed).normal(size=(12, 3))
    unit = feature / np.linalg.norm(feature, axis=1, keepdims=True)
    distance = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    for k in (1, 2, 3, 4):
        best = min(radius(distance, np.array(rows)) for rows in combinations(range(12), k))
        assert radius(distance, order(feature, k)) <= 2 * best + 1e-12


def test_one_choice_a_planted_cluster_and_the_gains_fall():
    rng = np.random.default_rng(0)
    feature = np.repeat(np.eye(6), 20, axis=0) + 0.01 * rng.standard_normal((120, 6))
    subset = KCenter().choose(feature, price=np.ones(120), budget=40.0, rng=rng)
    assert sorted(subset.index[:6] // 20) == [0, 1, 2, 3, 4, 5]
    assert (np.diff(subset.gain) <= 1e-12).all()
    assert subset.gain[5] > 1.3
    assert subset.gain[6] < 0.2


def test_it_begins_nearest_the_mean():
    feature = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    assert order(feature, 1).tolist() == [1]


def test_copies_come_last_and_all_rows_come_once():
    feature = np.concatenate([np.tile([[3.0, 1.0, 0.0]], (100, 1)), np.random.default_rng(1).normal(size=(10, 3))])
    rows = order(feature.astype(np.float32), 110)
    assert sorted(rows) == list(range(110))
    assert (rows[:11] >= 100).sum() == 10, "one of the copies before the others"
    assert rows[11:].tolist() == sorted(rows[11:]), "copies in pool order"


def test_identical_rows_and_rows_of_zeros():
    assert order(np.ones((5, 3)), 5).tolist() == [0, 1, 2, 3, 4]
    subset = KCenter().choose(np.zeros((4, 3)), price=np.ones(4), budget=2.0, rng=np.random.default_rng(0))
    assert len(subset) == 2
    assert subset.notes[0].startswith("4 rows")
