"""What is special to each of the first selectors, against loops that say the same thing slowly."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.selectors.max_affinity import MaxAffinity
from thresher.selectors.mean_affinity import MeanAffinity
from thresher.selectors.middle import Middle
from thresher.selectors.round_robin import RoundRobin
from thresher.selectors.stratified import Stratified
from thresher.selectors.thirds import Thirds
from thresher.selectors.top_k import TopK
from thresher.selectors.uniform import Uniform


def run(selector, *values, budget=None, seed=0, price=None, n=None):
    n = n or len(values[0])
    price = np.ones(n) if price is None else price
    budget = float(n if budget is None else budget)
    return selector.choose(*values, price=price, budget=budget, rng=np.random.default_rng(seed))


def smallest_first(sizes: dict[int, int], k: int) -> dict[int, int]:
    """METHODS 1.5.1: the published loop, for one budget."""
    left, take = k, {}
    order = sorted(sizes, key=lambda group: (sizes[group], group))
    for c, group in enumerate(order):
        quota = left // (len(order) - c)
        take[group] = min(sizes[group], quota)
        left -= take[group]
    return take


@pytest.mark.parametrize("sizes", [(3, 9, 1, 20), (5, 5, 5), (1, 1, 30), (7,), (2, 3, 4, 5, 6)])
def test_every_prefix_of_stratified_is_the_smallest_first_loop(sizes):
    label = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    order = run(Stratified(), label).index
    assert sorted(order) == list(range(len(label)))
    for k in range(len(label) + 1):
        counts = np.bincount(label[order[:k]], minlength=len(sizes))
        assert dict(enumerate(counts)) == smallest_first(dict(enumerate(sizes)), k), f"k = {k}"


def test_stratified_draws_evenly_inside_a_group():
    label = np.repeat([0, 1], [4, 20])
    drawn = np.concatenate([run(Stratified(), label, budget=2, seed=s).index for s in range(400)])
    counts = np.bincount(drawn, minlength=24)[4:]
    assert counts.sum() == 400, "two groups, two rows: one each"
    assert ((counts - 20) ** 2 / 20).sum() < 43.8, "chi-square over 19 degrees of freedom, 0.1% level"


def test_proportional_shares_follow_the_sizes():
    label = np.repeat([0, 1, 2], [100, 50, 10])
    order = run(Stratified(proportional=True), label).index
    for k in (16, 32, 80):
        np.testing.assert_allclose(np.bincount(label[order[:k]]), np.array([100, 50, 10]) * k / 160, atol=1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 13, 40])
def test_the_middle_window_starts_at_half_of_what_is_left_out(n):
    score = np.random.default_rng(n).normal(size=n)
    ranks = np.argsort(np.argsort(score))
    for k in range(1, n + 1):
        start = (n - k) // 2
        chosen = run(Middle(), score, budget=k).index
        assert sorted(ranks[chosen]) == list(range(start, start + k)), f"n = {n}, k = {k}"
    assert ranks[run(Middle(), score, budget=1).index[0]] == (n - 1) // 2


def test_round_robin_gives_orthogonal_targets_equal_shares_and_max_affinity_does_not():
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(4), 25)
    affinity = np.zeros((100, 4))
    affinity[np.arange(100), owner] = rng.uniform(0.5, 0.6, 100) + (owner == 2)  # column 2 is always the closest
    for k in range(0, 100, 7):
        chosen = run(RoundRobin(), affinity, budget=k)
        shares = np.bincount(owner[chosen.index], minlength=4)
        assert np.ptp(shares) <= 1
        np.testing.assert_array_equal(chosen.column, owner[chosen.index])
    assert set(owner[run(MaxAffinity(), affinity, budget=25).index]) == {2}


def test_a_column_whose_next_row_is_taken_takes_another_or_loses_its_turn():
    affinity = np.array([[9.0, 9.0], [8.0, 1.0], [7.0, 8.0], [1.0, 7.0]])
    assert run(RoundRobin(), affinity).index.tolist() == [0, 2, 1, 3]
    # column 1's first is row 0, taken: it loses that turn; then 0 takes 1, 1 takes 2; 0 finds 2 taken, 1 takes 3
    skipping = run(RoundRobin(skip_taken=True), affinity)
    assert skipping.index.tolist() == [0, 1, 2, 3]
    assert skipping.column.tolist() == [0, 0, 1, 1]


def test_ties_in_columns_fall_in_pool_order():
    assert run(RoundRobin(), np.ones((6, 2))).index.tolist() == [0, 1, 2, 3, 4, 5]
    assert run(MaxAffinity(), np.ones((6, 2)), budget=3).index.tolist() == [0, 1, 2]
    assert run(MeanAffinity(), np.ones((6, 2)), budget=3).index.tolist() == [0, 1, 2]


def test_mean_and_maximum_are_over_columns():
    affinity = np.array([[3.0, 3.0], [5.0, 0.0], [0.0, 4.0]])
    assert run(MaxAffinity(), affinity).index.tolist() == [1, 2, 0]
    assert run(MaxAffinity(), affinity).column.tolist() == [0, 1, 0]
    assert run(MeanAffinity(), affinity).index.tolist() == [0, 1, 2]
    np.testing.assert_allclose(run(MeanAffinity(), affinity).gain, [3.0, 2.5, 2.0])


def test_thirds_come_as_named_and_are_shuffled_inside():
    score = np.random.default_rng(0).permutation(30).astype(float)
    third = np.repeat(["lowest", "middle", "highest"], 10)
    for names in (("middle", "lowest", "highest"), ("lowest", "middle", "highest")):
        chosen = run(Thirds(first=names[0], second=names[1], third=names[2]), score).index
        assert third[score[chosen].astype(int)].tolist() == list(np.repeat(names, 10))
        assert score[chosen[:10]].tolist() != sorted(score[chosen[:10]]), "shuffled inside"


def test_top_k_ends_caps_and_prices():
    score, price = np.array([5.0, 1.0, 9.0, 5.0]), np.array([1.0, 1.0, 3.0, 0.5])
    assert run(TopK(), score).index.tolist() == [2, 0, 3, 1]
    assert run(TopK(highest=False), score).index.tolist() == [1, 0, 3, 2]
    assert run(TopK(cap=5.0), score).index.tolist() == [0, 3, 1]
    assert run(TopK(highest=False, cap=5.0), score).index.tolist() == [0, 3, 2]
    assert run(TopK(per_price=True), score, price=price, budget=10).index.tolist() == [3, 0, 2, 1]


def test_uniform_draws_every_row_alike_and_can_keep_the_order():
    label = np.repeat([0, 1], [150, 50])
    share = [(label[run(Uniform(), n=200, budget=20, seed=s).index] == 1).mean() for s in range(200)]
    assert abs(np.mean(share) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 20 / 200)
    assert run(Uniform(shuffle=False), n=7).index.tolist() == list(range(7))
