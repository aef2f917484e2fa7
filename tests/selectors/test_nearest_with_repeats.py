"""Ranks of all targets, repeats as weight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.selectors.nearest_with_repeats import NearestWithRepeats
from thresher.selectors.round_robin import RoundRobin


def test_a_row_two_targets_want_counts_twice():
    affinity = np.array([[0.9, 0.8], [0.5, 0.1], [0.1, 0.5]])
    subset = NearestWithRepeats().choose(affinity, price=np.ones(3), budget=4.0, rng=np.random.default_rng(0))
    assert subset.index.tolist() == [0, 1, 2]
    assert subset.weight.tolist() == [2, 1, 1]
    assert subset.column.tolist() == [0, 0, 1]
    assert subset.gain.tolist() == [0.9, 0.5, 0.5]


@given(seed=st.integers(0, 99), q=st.integers(1, 6), budget=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_all_of_the_budget_is_spent_and_a_smaller_one_gives_a_prefix(seed: int, q: int, budget: int):
    affinity = np.random.default_rng(seed).normal(size=(30, q)).round(1)
    price, rng = np.ones(30), np.random.default_rng(0)
    subset, larger = (
        NearestWithRepeats().choose(affinity, price=price, budget=b, rng=rng) for b in (float(budget), budget + 7.0)
    )
    assert subset.weight.sum() == min(budget, 30 * q)
    assert larger.index[: len(subset)].tolist() == subset.index.tolist()
    assert (larger.weight[: len(subset)] >= subset.weight).all()


@given(seed=st.integers(0, 99), q=st.integers(1, 6), budget=st.floats(0, 60))
@settings(max_examples=40, deadline=None)
def test_distinct_is_round_robin_with_lost_turns(seed: int, q: int, budget: float):
    rng = np.random.default_rng(seed)
    affinity, price = rng.normal(size=(40, q)), rng.uniform(0.5, 2, 40)
    ours = NearestWithRepeats(distinct=True).choose(affinity, price=price, budget=float(budget), rng=rng)
    round_robin = RoundRobin(skip_taken=True).choose(affinity, price=price, budget=float(budget), rng=rng)
    assert ours.index.tolist() == round_robin.index.tolist()
    assert ours.column.tolist() == round_robin.column.tolist()
    assert ours.weight is None


@pytest.mark.parametrize("q", [1, 3])
def test_repeats_are_paid_for(q: int):
    affinity = np.tile(np.array([[0.9], [0.1]]), (1, q))
    price = np.array([2.0, 5.0])
    subset = NearestWithRepeats().choose(affinity, price=price, budget=2.0 * q + 4.9, rng=np.random.default_rng(0))
    assert subset.weight.tolist() == [q]
