"""K-means against scikit-learn and planted clusters; ties, copies, emptied clusters, samples."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.selectors import _kmeans
from thresher.selectors._kmeans import Clusters, kmeans


def fit(feature: np.ndarray, clusters: int, **fields: object) -> Clusters:
    return kmeans(feature, clusters, **{"iterations": 20, "sample": 256_000, "seed": 0, **fields})


def blobs(n: int = 600, c: int = 6, d: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, c, n)
    return (rng.normal(size=(c, d)) * 10)[truth] + rng.normal(size=(n, d)), truth


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a, b]), axis=1).shape[1]
    return pairs == len(np.unique(a)) == len(np.unique(b))


def test_planted_clusters_are_found():
    feature, truth = blobs()
    assert same_partition(fit(feature, 6).label, truth)


@pytest.mark.parametrize("d", [2, 40])
def test_as_scikit_learn_from_the_same_start(d: int, monkeypatch: pytest.MonkeyPatch):
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn is not installed")
    feature = np.random.default_rng(1).normal(size=(3000, d)).astype(np.float32)
    start = feature[:30]
    monkeypatch.setattr(_kmeans, "_spread", lambda x, k, rng: x[:30].copy())
    found = fit(feature, 30, iterations=12)
    theirs = cluster.KMeans(30, init=start, n_init=1, max_iter=12, tol=0).fit(feature)
    assert (found.label == theirs.labels_).mean() > 0.999
    assert found.inertia == pytest.approx(theirs.inertia_, rel=1e-4)


def test_every_row_goes_to_its_nearest_centre_also_those_not_trained_on():
    feature = np.random.default_rng(2).normal(size=(2000, 8))
    found = fit(feature, 15, sample=300)
    apart = ((feature[:, None] - found.centre[None].astype(np.float64)) ** 2).sum(axis=2)
    chosen = apart[np.arange(2000), found.label]
    assert (chosen <= apart.min(axis=1) + 1e-4).all()
    assert found.inertia == pytest.approx(chosen.sum(), rel=1e-5)


def test_inertia_does_not_rise_with_iterations():
    feature = np.random.default_rng(3).normal(size=(1500, 6))
    inertia = [fit(feature, 20, iterations=i).inertia for i in (0, 1, 3, 9, 30)]
    assert (np.diff(inertia) <= 1e-3).all()


def test_the_seed_decides_and_nothing_else():
    feature = np.random.default_rng(4).normal(size=(900, 4))
    np.testing.assert_array_equal(fit(feature, 12).label, fit(feature, 12).label)
    assert not same_partition(fit(feature, 12).label, fit(feature, 12, seed=1).label)
    np.testing.assert_array_equal(fit(feature, 12, sample=200).centre, fit(feature, 12, sample=200).centre)


@pytest.mark.parametrize("block", [256 * 12, 1 << 20])
def test_the_block_size_changes_no_label(block: int, monkeypatch: pytest.MonkeyPatch):
    feature = np.random.default_rng(5).normal(size=(3000, 4)).astype(np.float32)
    before = fit(feature, 12).label
    monkeypatch.setattr(_kmeans, "BLOCK", block)
    np.testing.assert_array_equal(fit(feature, 12).label, before)


def test_the_order_of_the_dimensions_changes_no_label():
    feature, _ = blobs(d=12, seed=6)
    np.testing.assert_array_equal(fit(feature, 9).label, fit(feature[:, ::-1], 9).label)


@pytest.mark.parametrize("start", ["spread", "random"])
def test_fewer_rows_or_fewer_different_rows_than_clusters(start: str):
    few = fit(np.arange(8.0)[:, None] ** 2, 100, start=start).label
    assert sorted(few) == list(range(8))
    assert len(np.unique(fit(np.ones((50, 3)), 10, start=start).label)) == 1
    three = np.repeat(np.array([[0.0, 0.0], [5.0, 5.0], [9.0, 0.0]]), 20, axis=0)
    assert same_partition(fit(three, 10, start=start).label, np.repeat(np.arange(3), 20))


def test_an_emptied_cluster_moves_to_the_farthest_row():
    x = np.array([[0.0], [1.0], [2.0], [50.0]], dtype=np.float32)
    centre = np.array([[1.0], [-900.0]], dtype=np.float32)
    label, _ = _kmeans._assign(x, centre)
    assert label.tolist() == [0, 0, 0, 0]
    total = np.array([[53.0], [0.0]])
    assert _kmeans._average(x, centre, label, total).tolist() == [[53 / 4], [50.0]]


def test_sums_that_follow_the_rows_that_moved_are_the_clusters_sums():
    rng = np.random.default_rng(0)
    x, total = rng.normal(size=(1500, 3)).astype(np.float32), np.zeros((70, 3))
    before = None
    for moved in (1500, 700, 1, 0, 1500):
        label = rng.integers(0, 70, 1500) if before is None else before.copy()
        label[:moved] = rng.integers(0, 70, moved)
        _kmeans._move(total, x, label, before)
        exact = np.zeros((70, 3))
        np.add.at(exact, label, x.astype(np.float64))
        np.testing.assert_allclose(total, exact, atol=1e-4)
        before = label


@pytest.mark.parametrize("n", [5000, 5001])
def test_a_pool_beyond_the_sample_is_read_a_block_at_a_time(n: int):
    """Ten million rows take the same path: no more than a block of the feature is asked for at once."""

    class Watched(np.ndarray):
        largest = 0

        def __getitem__(self, key: object) -> np.ndarray:
            found = np.asarray(self)[key]
            Watched.largest = max(Watched.largest, len(np.atleast_1d(found)))
            return found

    feature = np.random.default_rng(n).normal(size=(n, 12)).astype(np.float32)
    found = fit(feature.view(Watched), 20, sample=1000)
    assert Watched.largest <= 2048
    np.testing.assert_array_equal(found.label, fit(feature, 20, sample=1000).label)
    apart = ((feature[:, None] - found.centre[None]) ** 2).sum(axis=2)
    assert (apart[np.arange(n), found.label] <= apart.min(axis=1) + 1e-4).all()


def test_a_far_offset_costs_no_precision():
    feature, truth = blobs(seed=8)
    assert same_partition(fit((feature + 3e3).astype(np.float64), 6).label, truth)
