"""Several targets draw their shares without replacement, in turn or one after another."""

from __future__ import annotations

import numpy as np
import pytest

from thresher import building, methods
from thresher.errors import FieldError, KindError
from thresher.selectors.gumbel_shares import GumbelShares
from thresher.selectors.gumbel_top_k import GumbelTopK

N = 200


def affinity(q: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, q))


def drawn(selector, values, budget: float, seed: int = 3, price: np.ndarray | None = None):
    price = np.ones(len(values)) if price is None else price
    return selector.choose(values, price=price, budget=budget, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("in_turn", [True, False])
def test_a_single_target_draws_as_gumbel_top_k_does(in_turn: bool):
    values = affinity(1)
    alone = drawn(GumbelTopK(), values[:, 0], 40.0)
    assert drawn(GumbelShares(in_turn=in_turn), values, 40.0).index.tolist() == alone.index.tolist()


@pytest.mark.parametrize("shares", [(), (0.5, 0.3, 0.2), (5.0, 1.0, 1.0)])
def test_in_turn_the_shares_hold_at_every_prefix(shares: tuple[float, ...]):
    subset = drawn(GumbelShares(shares=shares), affinity(3), float(N))
    share = np.array(shares or (1.0,) * 3) / sum(shares or (1.0,) * 3)
    assert sorted(subset.index.tolist()) == list(range(N))
    taken = np.cumsum(subset.column[:, None] == np.arange(3), axis=0)  # (k, q)
    assert np.abs(taken - np.arange(1, N + 1)[:, None] * share).max() <= 1.0


def test_uneven_prices_are_shared_too():
    price = np.random.default_rng(1).uniform(0.5, 2.0, N)
    subset = drawn(GumbelShares(shares=(3.0, 1.0)), affinity(2), 100.0, price=price)
    spent = np.bincount(subset.column, weights=price[subset.index])
    assert np.abs(spent - [75.0, 25.0]).max() < 4.0
    assert spent.sum() <= 100.0


def test_one_after_another_each_draws_its_share_of_what_the_ones_before_left():
    values = affinity(2)
    values[:, 1] = values[:, 0] = np.where(np.arange(N) < 30, 50.0, 0.0)  # both want the same thirty rows
    subset = drawn(GumbelShares(shares=(0.8, 0.2), in_turn=False), values, 30.0)
    assert subset.column.tolist() == [0] * 24 + [1] * 6
    assert sorted(subset.index.tolist()) == list(range(30))
    rng = np.random.default_rng(3)
    noise = rng.gumbel(size=(N, 2))[:, 0]  # the first target draws as if it were alone
    want = np.argsort(-(values[:, 0] + noise), kind="stable")[:24]
    assert subset.index[:24].tolist() == want.tolist()


def test_only_turns_are_nested():
    assert GumbelShares().nested
    assert not GumbelShares(in_turn=False).nested


@pytest.mark.parametrize("shares", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, float("inf")), (1.0, 1.0, 1.0)])
def test_shares_are_one_positive_number_a_target(shares: tuple[float, ...]):
    with pytest.raises(KindError, match="2 target groups"):
        drawn(GumbelShares(shares=shares), affinity(2), 5.0)


@pytest.mark.parametrize("given", ["0.5", ["a", 1], 0.5, [True, 1]])
def test_shares_are_a_list_of_numbers(given: object):
    with pytest.raises(FieldError, match="a list of numbers"):
        building.build(methods.get("dsir:groups"), model=None, scorer=None, overrides={"shares": given})


def test_a_list_of_shares_reaches_the_selector():
    made = building.build(methods.get("dsir:groups"), model=None, scorer=None, overrides={"shares": [3, 0.5]})[1]
    assert made == GumbelShares(shares=(3.0, 0.5))


def test_a_temperature_has_to_be_above_zero():
    with pytest.raises(KindError, match="temperature"):
        drawn(GumbelShares(temperature=0.0), affinity(2), 5.0)
