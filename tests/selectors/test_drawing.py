"""Selectors that draw: odds, ranges, and one row a group."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.errors import KindError
from thresher.selectors.best_of_group import BestOfGroup
from thresher.selectors.filtered_uniform import FilteredUniform
from thresher.selectors.gumbel_top_k import GumbelTopK
from thresher.selectors.top_k import TopK

RNG = np.random.default_rng(0)  # where the draw does not matter


def test_the_first_gumbel_choice_has_softmax_odds():
    score = np.array([0.0, 1.0, 2.0, 3.0])
    odds = np.exp(score / 2) / np.exp(score / 2).sum()
    rng = np.random.default_rng(0)
    warm, price = GumbelTopK(temperature=2.0), np.ones(4)
    first = [warm.choose(score, price=price, budget=1.0, rng=rng).index[0] for _ in range(4000)]
    share = np.bincount(first, minlength=4) / 4000
    assert np.abs(share - odds).max() < 4 * np.sqrt(0.25 / 4000)


def test_a_cold_gumbel_draw_is_the_ranking():
    score = np.random.default_rng(1).permutation(50).astype(float)
    given = {"price": np.ones(50), "budget": 20.0, "rng": np.random.default_rng(2)}
    chosen = [selector.choose(score, **given) for selector in (GumbelTopK(temperature=1e-6), TopK())]
    assert chosen[0].index.tolist() == chosen[1].index.tolist()
    np.testing.assert_array_equal(chosen[0].gain, score[chosen[0].index])


def test_gumbel_choices_are_drawn_one_after_another_without_replacement():
    """The law of DSIR: the odds of every ordered pair among five rows, over 4,000 seeds."""
    score = np.array([0.0, 0.5, 1.0, -0.5, 1.5])
    odds = np.exp(score) / np.exp(score).sum()
    want = odds[:, None] * odds / (1 - odds[:, None])
    np.fill_diagonal(want, 0.0)
    found = np.zeros((5, 5))
    for seed in range(4000):
        first, second = (
            GumbelTopK().choose(score, price=np.ones(5), budget=2.0, rng=np.random.default_rng(seed)).index.tolist()
        )
        found[first, second] += 1 / 4000
    assert want.sum() == pytest.approx(1.0)
    assert np.abs(found - want).max() < 4 * np.sqrt(want.max() / 4000)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_has_to_be_above_zero(temperature: float):
    with pytest.raises(KindError, match="top_k"):
        GumbelTopK(temperature=temperature).choose(np.ones(3), price=np.ones(3), budget=1.0, rng=RNG)


def test_only_rows_between_the_quantiles_are_drawn_and_all_of_them():
    score = np.random.default_rng(0).permutation(101).astype(float)
    rng = np.random.default_rng(1)
    subset = FilteredUniform(low=0.25, high=0.75).choose(score, price=np.ones(101), budget=101.0, rng=rng)
    assert sorted(score[subset.index]) == list(range(25, 76))
    assert subset.index.tolist() != np.sort(subset.index).tolist()


def test_rows_that_tie_with_the_cut_stay():
    subset = FilteredUniform(low=0.5).choose(np.full(9, 3.0), price=np.ones(9), budget=9.0, rng=RNG)
    assert len(subset) == 9


@pytest.mark.parametrize(("low", "high"), [(-0.1, 1.0), (0.6, 0.4), (0.0, 1.5)])
def test_quantiles_out_of_range_are_refused(low: float, high: float):
    with pytest.raises(KindError, match="low"):
        FilteredUniform(low=low, high=high).choose(np.ones(3), price=np.ones(3), budget=1.0, rng=RNG)


def test_one_row_a_group_the_best_and_then_by_score():
    score = np.array([5.0, 1.0, 1.0, 4.0, 2.0, 9.0])
    label = np.array([0, 0, 0, 1, 1, 2])
    low = BestOfGroup().choose(score, label, price=np.ones(6), budget=6.0, rng=np.random.default_rng(0))
    high = BestOfGroup(highest=True).choose(score, label, price=np.ones(6), budget=6.0, rng=np.random.default_rng(0))
    assert low.index.tolist() == [1, 4, 5], "the earlier of two equal rows stands for its group"
    assert high.index.tolist() == [5, 0, 3]
