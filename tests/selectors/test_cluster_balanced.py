"""Quotas over clusters, at every budget, against the published loop."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.selectors._kmeans import kmeans
from thresher.selectors.cluster_balanced import ClusterBalanced
from thresher.selectors.stratified_clusters import StratifiedClusters, inside


def quotas(sizes: list[int], budget: int) -> list[int]:
    """The loop: smallest first, the rest flows on. Ascending sizes in, takes out."""
    takes, left = [], budget
    for c, size in enumerate(sizes):
        takes.append(min(size, left // (len(sizes) - c)))
        left -= takes[-1]
    return takes


def loop_inside(sizes: list[int], budget: int) -> tuple[list[int], int]:
    """What the authors' code takes inside one group: of each large cluster, and of the tiny ones together."""
    large, tiny = sorted(s for s in sizes if s > 2), sum(s for s in sizes if s <= 2)
    takes = quotas(large, min(budget, sum(large)))
    return takes, min(tiny, budget - sum(takes))


def planted(sizes: list[int], seed: int = 0, spread: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """Far-apart tight clusters of the given sizes, shuffled; which cluster each row is of."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return 100 * np.eye(len(sizes))[truth] + spread * rng.normal(size=(len(truth), len(sizes))), truth


def order(selector: object, *values: np.ndarray, seed: int = 0) -> np.ndarray:
    n = len(values[0])
    return selector.choose(*values, price=np.ones(n), budget=float(n), rng=np.random.default_rng(seed)).index


@pytest.mark.parametrize("sizes", [[1, 2, 3, 9, 20], [7, 7, 7], [1] * 6, [30]], ids=str)
def test_every_prefix_has_the_loops_quotas(sizes: list[int]):
    feature, truth = planted(sizes)
    rows = order(ClusterBalanced(clusters=len(sizes)), feature)
    for k in range(1, len(rows) + 1):
        taken = np.bincount(truth[rows[:k]], minlength=len(sizes))
        for size in set(sizes):  # which of two equally large clusters has a spare row is drawn
            wanted = sorted(t for t, s in zip(quotas(sizes, k), sizes, strict=True) if s == size)
            assert sorted(taken[np.array(sizes) == size]) == wanted


def test_another_draw_takes_other_rows_of_the_same_clusters():
    feature = np.random.default_rng(1).normal(size=(400, 5))
    label = kmeans(feature, 8, iterations=20, sample=256_000, seed=0).label
    size = np.bincount(label)
    one, two = (order(ClusterBalanced(clusters=8), feature, seed=seed)[:80] for seed in (1, 2))
    assert set(one) != set(two)
    for rows in (one, two):
        assert sorted(np.bincount(label[rows], minlength=8)[np.argsort(size)]) == sorted(quotas(sorted(size), 80))
    other = order(ClusterBalanced(clusters=8, kmeans_seed=5), feature, seed=1)[:80]
    assert set(other) != set(one)


def test_rows_inside_a_cluster_are_drawn_uniformly():
    feature, truth = planted([4, 20])
    rows = np.flatnonzero(truth == 0)
    first = [next(i for i in order(ClusterBalanced(clusters=2), feature, seed=s) if truth[i] == 0) for s in range(200)]
    share = np.array([first.count(row) for row in rows]) / 200
    assert np.abs(share - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 200)


def test_only_tiny_clusters_are_drawn_uniformly():
    """As many clusters as rows: the first row is any row."""
    feature = np.random.default_rng(2).normal(size=(6, 3))
    label = np.zeros(6, dtype=np.int64)
    for selector, values in ((ClusterBalanced(), (feature,)), (StratifiedClusters(), (label, feature))):
        first = [order(selector, *values, seed=seed)[0] for seed in range(300)]
        assert np.bincount(first, minlength=6).min() > 300 / 6 - 4 * np.sqrt(300 / 6)


@pytest.mark.parametrize(
    "groups",
    [[[1, 2, 3, 9], [5, 5], [2, 1, 1]], [[1, 1], [2]], [[12]], [[3, 4, 30], [1], [1, 2, 2, 2]]],
    ids=str,
)  # fmt: skip
def test_two_levels_of_quotas_at_every_prefix(groups: list[list[int]]):
    rng = np.random.default_rng(3)
    parts = [planted(sizes, seed=g, spread=0.0) for g, sizes in enumerate(groups)]
    width = max(len(sizes) for sizes in groups)
    feature = np.concatenate([np.pad(f, ((0, 0), (0, width - f.shape[1]))) for f, _ in parts])
    label = np.repeat(np.arange(len(groups)), [len(f) for f, _ in parts])
    truth = np.concatenate([t for _, t in parts])
    mixed = rng.permutation(len(label))
    feature, label, truth = feature[mixed], label[mixed], truth[mixed]
    size = [sum(sizes) for sizes in groups]
    ascending = np.argsort(size, kind="stable")
    rows = order(StratifiedClusters(clusters=width), label, feature)
    for k in range(1, len(rows) + 1):
        quota = dict(zip(ascending.tolist(), quotas([size[g] for g in ascending], k), strict=True))
        for g, sizes in enumerate(groups):
            mine = truth[rows[:k]][label[rows[:k]] == g]
            assert len(mine) == quota[g]
            taken = np.bincount(mine, minlength=len(sizes))
            large, tiny = loop_inside(sizes, quota[g])
            assert taken[np.array(sizes) <= 2].sum() == tiny
            assert sorted(taken[np.array(sizes) > 2]) == sorted(large)


def test_a_group_of_one_row_and_a_group_smaller_than_its_clusters():
    feature = np.random.default_rng(4).normal(size=(30, 3))
    label = np.array([7] + [2] * 9 + [5] * 20)
    rng = np.random.default_rng(0)
    subset = StratifiedClusters(clusters=12).choose(label, feature, price=np.ones(30), budget=30.0, rng=rng)
    assert sorted(subset.index) == list(range(30))
    assert sorted(label[subset.index[:3]]) == [2, 5, 7]
    assert "in 3 groups" in subset.notes[0]


def test_tiny_clusters_of_a_group_come_last():
    cluster = np.array([0, 1, 1, 2, 2, 2, 2])
    rows = inside(cluster, 2, np.random.default_rng(0))
    assert sorted(rows[:4]) == [3, 4, 5, 6]
    assert sorted(rows[4:]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("sizes", "budget", "takes"),
    [
        ([1, 2, 3, 9, 20], 10, [1, 2, 2, 2, 3]),
        ([1, 2, 3, 9, 20], 20, [1, 2, 3, 7, 7]),
        ([1, 2, 3, 9, 20], 33, [1, 2, 3, 9, 18]),
        ([3, 7, 8], 10, [3, 3, 4]),
        ([2, 100], 2, [1, 1]),
        ([2, 100], 1, [0, 1]),
    ],
)
def test_quotas_worked_out_by_hand(sizes: list[int], budget: int, takes: list[int]):
    feature, truth = planted(sizes)
    rows = order(ClusterBalanced(clusters=len(sizes)), feature)[:budget]
    assert np.bincount(truth[rows], minlength=len(sizes)).tolist() == takes
    assert quotas(sizes, budget) == takes


MATH = [100_000, 60_000, 30_000, 20_000, 15_000, 12_000, 9_000, 6_000, 4_000, 3_000, 1_500, 1_000, 500, 40]


@pytest.mark.parametrize("by_group", [False, True])
def test_the_published_budgets_are_spent_to_the_row(by_group: bool):
    """30K, 50K and 100K of 262,040 rows in 14 groups (MathInstruct has as many)."""
    rng = np.random.default_rng(0)
    label = rng.permutation(np.repeat(np.arange(14), MATH))
    feature = rng.random((len(label), 3), dtype=np.float32)
    selector_of = StratifiedClusters if by_group else ClusterBalanced
    selector = selector_of(iterations=1, sample=2_000)
    values = (label, feature) if by_group else (feature,)
    assert len(label) == 262_040
    for budget in (30_000, 50_000, 100_000):
        rng = np.random.default_rng(0)
        chosen = selector.choose(*values, price=np.ones(len(label)), budget=float(budget), rng=rng).index
        assert len(chosen) == len(np.unique(chosen)) == budget
        if by_group:
            assert np.bincount(label[chosen])[::-1].tolist() == quotas(MATH[::-1], budget)


def test_a_group_of_three_rows_is_taken_whole_and_never_clustered_to_death():
    feature = np.random.default_rng(5).normal(size=(503, 12))
    label = np.repeat([0, 1], [3, 500])
    rows = order(StratifiedClusters(clusters=100), label, feature)
    assert sorted(rows) == list(range(503))
    assert np.bincount(label[rows[:6]]).tolist() == [3, 3]
    assert np.bincount(label[rows[:40]]).tolist() == [3, 37]
