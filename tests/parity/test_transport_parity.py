"""Transport potentials against geomloss, POT and ott-jax at the same epsilon, in their own conventions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher.signals._sweeps import Source
from thresher.signals._transport import Settings, Solution, solve

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
EPSILON = 0.3
SETTINGS = Settings(epsilon=EPSILON, relative=False, precision="float64", tolerance=1e-11)


def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows, targets, and uneven masses of both."""
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(120, 5)), 0.7 * rng.normal(size=(30, 5)) + 0.4
    nu, mu = rng.uniform(0.5, 1.5, 120), rng.uniform(0.5, 1.5, 30)
    return x, z, nu / nu.sum(), mu / mu.sum()


def ours() -> Solution:
    x, z, nu, mu = problem()
    return solve(Source(x, weight=nu), z, target_weight=mu, settings=SETTINGS)


def same(g: np.ndarray, f: np.ndarray, *, atol: float) -> None:
    """Potentials of rows and targets without absorbed masses, up to what can be moved from one to the other."""
    _, _, nu, mu = problem()
    found = ours()
    assert_allclose(g - nu @ g, found.g, atol=atol)
    assert_allclose(f - mu @ f, found.f - mu @ found.f, atol=atol)


def test_pot_absorbs_the_masses():
    ot = pytest.importorskip("ot", reason="POT is not installed (extra: parity)")
    x, z, nu, mu = problem()
    cost = ot.dist(x, z, metric="sqeuclidean")
    _, log = ot.bregman.sinkhorn_log(nu, mu, cost, EPSILON, numItermax=20_000, stopThr=1e-13, log=True)
    same(EPSILON * (log["log_u"] - np.log(nu)), EPSILON * (log["log_v"] - np.log(mu)), atol=1e-8)
    value = float((ot.bregman.sinkhorn_log(nu, mu, cost, EPSILON, numItermax=20_000, stopThr=1e-13) * cost).sum())
    assert ours().distance > value, "the regularised cost holds the plan's divergence on top"


@pytest.mark.slow
def test_geomloss_halves_the_cost_and_comes_near_the_slower_it_anneals():
    """It has no rule that stops at an error; slow annealing is what it offers."""
    geomloss = pytest.importorskip("geomloss", reason="geomloss is not installed (extra: parity)")
    import torch

    x, z, nu, mu = (torch.from_numpy(part) for part in problem())
    apart = []
    for scaling in (0.9, 0.99, 0.999):
        loss = geomloss.SamplesLoss(
            "sinkhorn", p=2, blur=(EPSILON / 2) ** 0.5, scaling=scaling, debias=False, potentials=True,
            backend="tensorized",
        )  # fmt: skip
        g, f = (2 * part.squeeze().numpy() for part in loss(nu, x, mu, z))
        apart.append(np.abs(g - problem()[2] @ g - ours().g).max())
    assert apart[0] > 3 * apart[1] > 9 * apart[2]
    same(g, f, atol=0.03)


def test_ott_absorbs_the_masses():
    pytest.importorskip("ott", reason="ott-jax is not installed (extra: parity)")
    import jax

    jax.config.update("jax_enable_x64", True)
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    x, z, nu, mu = (jax.numpy.asarray(part) for part in problem())
    geometry = pointcloud.PointCloud(x, z, epsilon=EPSILON)
    solver = sinkhorn.Sinkhorn(threshold=1e-12, max_iterations=20_000)
    out = solver(linear_problem.LinearProblem(geometry, a=nu, b=mu))
    g, f = (np.asarray(part) - EPSILON * np.log(mass) for part, mass in ((out.f, nu), (out.g, mu)))
    same(g, f, atol=1e-8)
