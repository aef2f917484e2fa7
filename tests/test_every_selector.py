"""The contract of selectors, over the folder: a new file is tested the moment it exists."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from thresher import building, methods
from thresher.core import registry
from thresher.core.cost import Load
from thresher.core.method import Selector, Subset

N, Q, D = 131, 5, 4
BUDGETS = (0.0, 1.0, 2.5, 7.0, 60.0, 90.0, 1e6)  # under flat prices; 1e6 buys all there is


def _cases() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every file with its defaults, and every setting a named method gives it."""
    found: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in registry.names("selectors")}
    for method in methods.table().values():
        values = {key: value for key, value in method.selector.items() if key != "name"}
        if values:
            found[f"{method.name}'s {method.selector['name']}"] = (str(method.selector["name"]), values)
    return found


CASES = _cases()


@pytest.fixture(params=CASES, ids=str)
def selector(request: pytest.FixtureRequest) -> Selector:
    name, values = CASES[request.param]
    made = methods.Method(name, selector={"name": name, **values})
    return building.build(made, model=None, scorer=None)[1]


def synthetic(selector: Selector, n: int = N, seed: int = 0) -> list[np.ndarray]:
    """Values of every kind the selector needs, read-only as the store's memory maps are."""
    rng = np.random.default_rng([seed, n])
    place = rng.normal(size=(n, D))  # (n, d)
    aim = place[rng.integers(0, n, Q)] + 0.3 * rng.normal(size=(Q, D))  # (q, d)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (place, aim)]
    made = {
        "score": rng.normal(2.0, 1.0, n) - 20.0 * any(getattr(selector, f, None) is not None for f in ("cap", "most")),
        "label": np.minimum(rng.geometric(0.4, n), 6) - 1,
        "affinity": unit[0] @ unit[1].T,
        "feature": place if getattr(selector, "reading", "") != "pool" else np.eye(n) + 0.01 * rng.normal(size=(n, n)),
    }  # what a cap or a distance to the whole pool would leave out is another test's business
    values = [made[kind].copy() for kind in selector.needs]
    for value in values:
        value.setflags(write=False)
    return values


def prices(kind: str, n: int = N) -> np.ndarray:
    price = np.ones(n) if kind == "flat" else np.random.default_rng(7).uniform(0.2, 3.0, n)
    price.setflags(write=False)
    return price


def choose(selector: Selector, values: list[np.ndarray], price: np.ndarray, budget: float, seed: int = 0) -> Subset:
    return selector.choose(*values, price=price, budget=budget, rng=np.random.default_rng(seed))


def draws(selector: Selector) -> bool:
    """Whether two random streams give two answers, or it has a seed of its own."""
    if any(field.name.endswith("seed") for field in fields(selector)):
        return True
    values, price = synthetic(selector), prices("flat")
    answers = [choose(selector, values, price, 60.0, seed).index.tolist() for seed in (1, 2, 3)]
    return answers.count(answers[0]) < len(answers)


def times(subset: Subset) -> np.ndarray:
    return np.ones(len(subset)) if subset.weight is None else subset.weight


def test_the_parameters_of_choose_are_what_the_selector_needs(selector: Selector):
    parameters = inspect.signature(selector.choose).parameters
    plain = tuple(p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)
    named = {p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert plain == selector.needs, "positional parameters of `choose` are named by kind"
    assert named == {"price", "budget", "rng"}, "everything else a selector may know is in its fields"


@pytest.mark.parametrize("kind", ["flat", "uneven"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_no_repeats_and_never_over_budget(selector: Selector, kind: str, budget: float):
    price = prices(kind)
    subset = choose(selector, synthetic(selector), price, budget)
    index = subset.index
    assert len(set(index.tolist())) == len(index), "a row stands twice; repeats belong into `weight`"
    assert index.size == 0 or (index.min() >= 0 and index.max() < N)
    spent = float((price[index] * times(subset)).sum())
    assert spent <= budget * (1 + 1e-9), f"spent {spent} of {budget}"


@pytest.mark.parametrize("kind", ["flat", "uneven"])
def test_a_smaller_budget_gives_a_prefix(selector: Selector, kind: str):
    if not selector.nested:
        pytest.skip("says of itself that it is not nested")
    values, price = synthetic(selector), prices(kind)
    largest = choose(selector, values, price, BUDGETS[-1])
    for budget in BUDGETS:
        smaller = choose(selector, values, price, budget)
        wanted = largest.prefix(len(smaller))
        assert smaller.index.tolist() == wanted.index.tolist(), (
            f"budget {budget} does not give a prefix: say nested = False"
        )
        if smaller.weight is None:
            np.testing.assert_allclose(smaller.gain, wanted.gain, rtol=1e-9, atol=1e-12)


def test_it_stops_only_at_a_row_that_does_not_fit(selector: Selector):
    """What the largest budget takes next is what this one could not pay for."""
    values, price = synthetic(selector), prices("uneven")
    largest = choose(selector, values, price, BUDGETS[-1])
    if not selector.nested or largest.weight is not None:
        pytest.skip("no one order to compare with")
    for budget in BUDGETS[1:-1]:
        smaller = choose(selector, values, price, budget)
        if len(smaller) < len(largest):
            following = price[smaller.index].sum() + price[largest.index[len(smaller)]]
            assert following > budget, "a row that fitted was left out"


def test_the_same_stream_gives_the_same_answer(selector: Selector):
    values, price = synthetic(selector), prices("uneven")
    one, two = (choose(selector, values, price, 20.0, seed=5) for _ in range(2))
    for a, b in zip(vars(one).values(), vars(two).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_permuted_pool_gives_the_permuted_answer(selector: Selector):
    if draws(selector):
        pytest.skip("draws at random: its answer follows the stream, not the rows alone")
    if not selector.needs:
        pytest.skip("keeps the pool's order")
    values, price = synthetic(selector), prices("uneven")
    shuffled = np.random.default_rng(3).permutation(N)
    plain = choose(selector, values, price, 60.0)
    moved = choose(selector, [value[shuffled] for value in values], price[shuffled], 60.0)
    same = int(np.cumprod(shuffled[moved.index[: len(plain)]] == plain.index[: len(moved)]).sum())
    if selector.needs == ("feature",):  # two rows nearest to each other gain exactly as much: pool order decides
        moved, plain = moved.prefix(same + 1), plain.prefix(same + 1)
    else:
        assert shuffled[moved.index].tolist() == plain.index.tolist()
    np.testing.assert_allclose(moved.gain, plain.gain, rtol=1e-9)


def test_ties_fall_in_pool_order(selector: Selector):
    """Rounded values choose as if a hair of pool order stood behind each of them."""
    if not set(selector.needs) <= {"score", "affinity"} or not selector.needs or draws(selector):
        pytest.skip("no ties of numbers to break, or broken by drawing")
    tied = [np.round(value * 2) / 2 for value in synthetic(selector)]
    price, position = prices("flat"), np.arange(N)
    answer = choose(selector, tied, price, 60.0).index.tolist()
    hairs = []
    for sign in (1e-9, -1e-9):
        hair = [value + sign * (position[:, None] if value.ndim == 2 else position) for value in tied]
        hairs.append(choose(selector, hair, price, 60.0).index.tolist())
    assert answer in hairs, "a tie is broken by something else than the pool's order"


@pytest.mark.parametrize("budget", [0.0, 0.1])
def test_an_empty_budget_gives_an_empty_subset(selector: Selector, budget: float):
    subset = choose(selector, synthetic(selector), prices("uneven"), budget)
    assert len(subset) == 0
    assert subset.index.dtype.kind == "i"
    assert len(subset.gain) == 0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_pool_of_hardly_any_rows(selector: Selector, n: int):
    subset = choose(selector, synthetic(selector, n), prices("flat", n), float(n))
    assert len(subset) <= n
    assert len(subset) >= 1, "there is a row, and it is paid for"


def test_everything_said_of_a_choice_has_its_length(selector: Selector):
    subset = choose(selector, synthetic(selector), prices("uneven"), 25.0)
    assert len(subset) > 0
    for part in (subset.gain, subset.weight, subset.column):
        assert part is None or len(part) == len(subset)
    assert np.isfinite(subset.gain).all()
    if subset.column is not None:
        assert (subset.column >= 0).all()
        assert (subset.column < Q).all()
    if subset.weight is not None:
        assert (subset.weight > 0).all()


def test_single_precision_values_will_do(selector: Selector):
    values = [value.astype(np.float32) if value.dtype.kind == "f" else value for value in synthetic(selector)]
    assert len(choose(selector, values, prices("flat"), 20.0)) > 0


def test_it_pickles_is_immutable_and_prices_itself(selector: Selector):
    assert pickle.loads(pickle.dumps(selector)) == selector
    assert replace(selector) == selector
    with pytest.raises(AttributeError):
        selector.anything = 1  # type: ignore[attr-defined]
    small, large = Load(n=100, tokens=10_000, q=5, d=8, k=10), Load(n=200, tokens=20_000, q=10, d=8, k=20)
    for name, value in vars(selector.cost(small)).items():
        assert 0 <= value <= getattr(selector.cost(large), name)


def test_what_gain_means_is_said(selector: Selector):
    assert selector.gain_is.strip(), "the reasons name it"
