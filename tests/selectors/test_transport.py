"""Transport on affinities: both ends of rho, the plan's sums, and rounds against one shot."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linprog
from scipy.special import logsumexp

from thresher.errors import FieldError, Unconverged
from thresher.selectors._semidual import Problem, solve
from thresher.selectors.relinearised_transport import RelinearisedTransport
from thresher.selectors.transport import Transport
from thresher.signals._transport import Settings
from thresher.signals._transport import solve as solve_features

RNG = np.random.default_rng


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def clusters(n: int, q: int, d: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of twelve clusters, targets of six of them, all of length one."""
    rng = RNG(seed)
    centre = rng.normal(size=(12, d))
    x = centre[rng.integers(0, 12, n)] + 0.5 * rng.normal(size=(n, d))
    z = centre[rng.integers(0, 6, q)] + 0.5 * rng.normal(size=(q, d))
    return unit(x), unit(z)


def problem(**changed) -> Problem:
    plain = {
        "epsilon": 0.1, "absolute": True, "rho": None, "scale": 1.0, "tolerance": 1e-10, "max_sweeps": 2000,
        "omega": 1.5, "allow_unconverged": False,
    }  # fmt: skip
    return Problem(**{**plain, **changed})


def chosen(selector, values: list[np.ndarray], k: int) -> np.ndarray:
    return selector.choose(*values, price=np.ones(len(values[0])), budget=float(k), rng=RNG(0)).index


def test_the_array_form_is_the_feature_form():
    x, z = clusters(200, 12)
    uniform = np.full(200, 1 / 200)
    for rho in (None, 0.05, 3.0):
        here = solve(x @ z.T, uniform, problem(rho=rho))
        settings = Settings(
            epsilon=0.1, relative=False, rho=rho, ground="cosine", precision="float64", tolerance=1e-10
        )
        there = solve_features(x, z, settings=settings)
        assert_allclose(here.f - here.f.mean(), there.f - there.f.mean(), atol=1e-8)
        assert_allclose(here.g - here.g.mean(), there.g, atol=1e-8)


@pytest.mark.parametrize("rho", [0.01, 0.5, 20.0])
def test_the_plans_sums_are_the_masses(rho):
    x, z = clusters(150, 9)
    found = solve(x @ z.T, np.full(150, 1 / 150), problem(rho=rho))
    plan = np.exp((found.f + found.g[:, None] - (1 - x @ z.T)) / 0.1) / (150 * 9)  # (n, q)
    assert_allclose(plan.sum(1), np.exp(-found.g / rho) / 150, rtol=1e-6)
    assert_allclose(plan.sum(0), np.full(9, 1 / 9), atol=1e-9)


def test_a_small_rho_is_a_soft_vote_and_a_large_one_orders_like_got_d():
    x, z = clusters(300, 10)
    affinity = x @ z.T
    soft = Transport(epsilon=0.5, absolute=True, rho=1e-6, tolerance=1e-8)
    vote = np.exp(affinity / 0.5 - logsumexp(affinity / 0.5, axis=0)).mean(1)
    every = soft.choose(affinity, price=np.ones(300), budget=300.0, rng=RNG(0))
    assert_allclose(every.gain / 300, vote[every.index], atol=1e-6)
    g = solve_features(x, z, settings=Settings(ground="cosine", precision="float64")).g
    stiff = chosen(Transport(rho=100.0), [affinity], 30)
    assert len(set(stiff) & set(np.argsort(g)[:30])) >= 29


def test_uot_as_published_is_a_vote_of_temperature_one_fiftieth():
    x, z = clusters(300, 10)
    affinity = x @ z.T
    uot = Transport(absolute=True, scale=0.5, epsilon=0.01, rho=1e-4)
    vote = np.exp(affinity / 0.02 - logsumexp(affinity / 0.02, axis=0)).mean(1)
    assert len(set(chosen(uot, [affinity], 30)) & set(np.argsort(-vote)[:30])) >= 28


def cost_of(rows: np.ndarray, share: float, cost: np.ndarray) -> float:
    """Exact transport of the mixture of chosen rows and pool onto the targets."""
    n, q = cost.shape
    nu = np.full(n, (1 - share) / n)
    np.add.at(nu, rows, share / len(rows))
    sums = np.vstack([np.kron(np.eye(n), np.ones(q)), np.kron(np.ones(n), np.eye(q))])
    return linprog(cost.ravel(), A_eq=sums, b_eq=[*nu, *np.full(q, 1 / q)], method="highs").fun


def test_one_shot_will_do_for_light_training_and_rounds_are_better_where_the_choice_is_all():
    x, z = clusters(160, 24)
    affinity, label, k = x @ z.T, np.arange(160), 32
    one_shot = chosen(Transport(rho=None), [affinity], k)
    for share in (0.1, 1.0):
        rounds = chosen(RelinearisedTransport(share=share, rounds=8), [affinity, label], k)
        ratio = cost_of(one_shot, share, 1 - affinity) / cost_of(rounds, share, 1 - affinity)
        if share == 0.1:
            assert 0.98 <= ratio <= 1.02
        else:
            assert ratio > 1.2, "one shot has no reason to spread"


def test_one_round_is_the_one_shot_order_and_of_copies_one_is_taken():
    x, z = clusters(60, 8)
    affinity, label = x @ z.T, np.arange(60)
    once = RelinearisedTransport(rounds=1)
    assert chosen(once, [affinity, label], 20).tolist() == chosen(Transport(rho=None), [affinity], 20).tolist()
    doubled = [np.vstack([affinity, affinity]), np.concatenate([label, label])]
    for rounds in (1, 5):
        rows = chosen(RelinearisedTransport(rounds=rounds), doubled, 120)
        assert sorted(rows % 60) == list(range(60))
        assert (rows < 60).all(), "the first of equals"


def test_rounds_spend_the_budget_evenly_and_say_how_they_went():
    x, z = clusters(100, 8)
    made = RelinearisedTransport(rounds=4, share=0.5)
    subset = made.choose(x @ z.T, np.arange(100), price=np.ones(100), budget=40.0, rng=RNG(0))
    assert len(subset) == 40
    assert "passes" in subset.notes[0]
    first = RelinearisedTransport(rounds=1).choose(
        x @ z.T, np.arange(100), price=np.ones(100), budget=10.0, rng=RNG(0)
    )  # fmt: skip
    assert subset.index[:10].tolist() == first.index.tolist()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_lambda_is_a_share(share):
    with pytest.raises(FieldError, match="lambda"):
        RelinearisedTransport(share=share)


def test_what_does_not_converge_or_has_no_unit_is_refused():
    x, z = clusters(100, 8)
    hurried = Transport(epsilon=1e-3, max_sweeps=3, rho=None)
    with pytest.raises(Unconverged, match=r"3 passes.*larger epsilon"):
        chosen(hurried, [x @ z.T], 10)
    allowed = Transport(epsilon=1e-3, max_sweeps=3, rho=None, allow_unconverged=True)
    subset = allowed.choose(x @ z.T, price=np.ones(100), budget=10.0, rng=RNG(0))
    assert "NOT CONVERGED" in subset.notes[0]
    with pytest.raises(FieldError, match="absolute"):
        chosen(Transport(), [5 + x @ z.T], 10)
    for wrong in ({"epsilon": 0.0}, {"omega": 2.0}, {"rho": -1.0}, {"scale": 0.0}, {"max_sweeps": 0}):
        with pytest.raises(FieldError, match=next(iter(wrong))):
            Transport(**wrong)
