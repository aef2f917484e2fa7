"""Facility location: lazy equals plain, three ways to hold the cosines, what copies and clusters do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from thresher.errors import KindError
from thresher.selectors import _neighbours, facility_location
from thresher.selectors._neighbours import nearest_rows
from thresher.selectors.facility_location import FacilityLocation


def choose(feature: np.ndarray, k: float, **fields: object):
    price, rng = np.ones(len(feature)), np.random.default_rng(0)
    return FacilityLocation(**fields).choose(feature, price=price, budget=float(k), rng=rng)


def cosines(feature: np.ndarray) -> np.ndarray:
    unit = feature / np.linalg.norm(feature, axis=1, keepdims=True)
    return np.maximum(unit @ unit.T, 0.0)


def plain(near: np.ndarray, k: int) -> tuple[list[int], list[float]]:
    """Every gain of every row at every step; of equal ones the first row. Column j is what choosing j covers."""
    best, index, gain = np.zeros(len(near)), [], []
    for _ in range(k):
        rise = np.maximum(near - best[:, None], 0).sum(axis=0)
        rise[index] = -1
        j = int(np.flatnonzero(rise >= rise.max() - 1e-10)[0])
        index.append(j)
        gain.append(rise[j])
        best = np.maximum(best, near[:, j])
    return index, gain


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("similarity", ["dense", "recomputed"])
def test_lazy_is_plain_greedy(seed: int, similarity: str):
    feature = np.random.default_rng(seed).normal(size=(70, 5))
    index, gain = plain(cosines(feature), 40)
    subset = choose(feature, 40, similarity=similarity)
    assert subset.index.tolist() == index
    np.testing.assert_allclose(subset.gain, gain, rtol=1e-9)
    assert (np.diff(subset.gain) <= 0).all(), "gains of a submodular function cannot rise"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("m", [1, 5, 70])
def test_lazy_is_plain_greedy_on_the_nearest_rows(seed: int, m: int):
    feature = np.random.default_rng(seed).normal(size=(70, 5))
    near = cosines(feature)
    bar = np.sort(near, axis=1)[:, -m][:, None]
    index, gain = plain(np.where(near >= bar, near, 0.0), 40)
    subset = choose(feature, 40, similarity="neighbours", neighbours=m)
    assert subset.index.tolist() == index
    np.testing.assert_allclose(subset.gain, gain, rtol=1e-9, atol=1e-12)


def test_single_precision_makes_the_same_choice():
    feature = np.random.default_rng(5).normal(size=(300, 16))
    double = choose(feature, 30)
    for similarity in ("dense", "recomputed"):
        single = choose(feature.astype(np.float32), 30, similarity=similarity)
        assert single.index.tolist() == double.index.tolist()
        np.testing.assert_allclose(single.gain, double.gain, rtol=1e-5)


def test_greedy_reaches_its_share_of_the_best():
    near = cosines(np.random.default_rng(2).normal(size=(12, 3)))
    for k in (2, 3, 4):
        best = max(near[:, list(rows)].max(axis=1).sum() for rows in combinations(range(12), k))
        reached = choose(np.random.default_rng(2).normal(size=(12, 3)), k).gain.sum()
        assert (1 - 1 / np.e) * best <= reached <= best + 1e-9


@pytest.mark.parametrize("similarity", ["dense", "recomputed", "neighbours"])
def test_one_choice_a_planted_cluster(similarity: str):
    rng = np.random.default_rng(0)
    feature = np.repeat(np.eye(6), 20, axis=0) + 0.01 * rng.standard_normal((120, 6))
    assert sorted(choose(feature, 6, similarity=similarity).index // 20) == [0, 1, 2, 3, 4, 5]


def test_a_hundred_copies_are_taken_once_before_other_rows():
    feature = np.concatenate([np.tile([[3.0, 1.0, 0.0]], (100, 1)), np.random.default_rng(1).normal(size=(10, 3))])
    rows = choose(feature, 11).index
    assert rows[0] == 0
    assert sorted(rows[1:]) == list(range(100, 110))


@pytest.mark.parametrize("similarity", ["dense", "recomputed", "neighbours"])
def test_identical_rows_come_in_pool_order(similarity: str):
    assert choose(np.ones((9, 3)), 9, similarity=similarity).index.tolist() == list(range(9))


def test_pairs_nearest_to_each_other_tie_in_pool_order():
    """Each of a pair covers the other exactly as well: every step is a tie, whatever rounding says."""
    pair = np.abs(np.random.default_rng(4).normal(size=(30, 2, 2)))
    feature = np.zeros((60, 60))
    for p in range(30):
        feature[2 * p : 2 * p + 2, 2 * p : 2 * p + 2] = pair[p]  # a plane of its own
    assert (choose(feature, 60).index[:30] % 2 == 0).all()


def test_the_error_names_what_fits():
    feature = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    with pytest.raises(KindError, match=r"similarity=neighbours .* or similarity=recomputed .* or max_bytes=40000"):
        choose(feature, 5, max_bytes=39_999, neighbours=3)
    with pytest.raises(KindError, match="Set similarity=recomputed"):
        choose(feature, 5, max_bytes=100, similarity="neighbours")
    assert len(choose(feature, 5, max_bytes=100, similarity="recomputed")) == 5
    assert len(choose(feature, 5, max_bytes=40_000)) == 5
    with pytest.raises(KindError, match="at least 1"):
        choose(feature, 5, neighbours=0)


def test_many_rows_keep_their_neighbours_only_and_it_is_said(monkeypatch: pytest.MonkeyPatch):
    feature = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    assert "all pairs, kept" in choose(feature, 5).notes[0]
    monkeypatch.setattr(facility_location, "MANY", 99)
    subset = choose(feature, 5, neighbours=7)
    assert "7 nearest rows only" in subset.notes[0]
    assert subset.index.tolist() == choose(feature, 5, neighbours=7, similarity="neighbours").index.tolist()


@pytest.mark.parametrize(("n", "m"), [(9, 9), (50, 4), (700, 3), (1500, 20)])
def test_nearest_rows_are_the_nearest(n: int, m: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_neighbours, "HELD", 40_000)  # several blocks
    unit = np.random.default_rng(n).normal(size=(n, 6))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    near, cosine = nearest_rows(unit, m)
    full = np.maximum(unit @ unit.T, 0)
    wanted = np.argsort(-full, axis=1, kind="stable")[:, :m]
    np.testing.assert_array_equal(near, wanted)
    np.testing.assert_allclose(cosine, np.take_along_axis(full, wanted, axis=1), atol=1e-12)
