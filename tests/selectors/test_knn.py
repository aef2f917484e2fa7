"""The two nearest-neighbour rankings against their definitions, and what copies do to each."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.selectors.knn_kde import KnnKde, density
from thresher.selectors.knn_uniform import KnnUniform
from thresher.selectors.max_affinity import MaxAffinity


def everything(selector: object, *values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole order, and the mass by pool row."""
    n = len(values[0])
    subset = selector.choose(*values, price=np.ones(n), budget=float(n), rng=np.random.default_rng(0))
    mass = np.empty(n)
    mass[subset.index] = subset.gain
    return subset.index, mass


def planted(seed: int, n: int = 80, q: int = 4, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(n, d))
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    aim = rng.normal(size=(q, d))
    return place @ (aim / np.linalg.norm(aim, axis=1, keepdims=True)).T, place


def plain_uniform(affinity: np.ndarray, alpha: float, C: float, prefetch: int) -> np.ndarray:
    """The definition, sums written out."""
    n, q = affinity.shape
    deep = min(prefetch, n)
    order = np.argsort(-affinity, axis=0, kind="stable")[:deep]
    dist = np.take_along_axis(1 - affinity, order, axis=0)
    k = 1
    while k < deep and alpha / C * sum(dist[k, z] - dist[u, z] for z in range(q) for u in range(k)) < (1 - alpha) * q:
        k += 1
    mass = np.zeros(n)
    for z in range(q):
        for row in order[:k, z]:
            mass[row] += 1 / (k * q)
    return mass


def plain_kde(
    affinity: np.ndarray, place: np.ndarray, alpha: float, C: float, sigma: float, prefetch: int
) -> np.ndarray:
    """The definition: every level at which some target takes a row, one after another."""
    n, q = affinity.shape
    deep = min(prefetch, n // 10)
    order = np.argsort(-affinity, axis=0, kind="stable")[:deep]
    dist = np.take_along_axis(1 - affinity, order, axis=0)
    union = np.unique(order)
    kernel = np.maximum(1 - 2 * (1 - place[union] @ place[union].T) / sigma**2, 0)
    rho = dict(zip(union.tolist(), kernel.sum(axis=1), strict=True))
    rare = np.array([[1 / rho[int(row)] for row in order[:, z]] for z in range(q)]).T  # (l, q)
    filled = np.cumsum(rare, axis=0)[:-1]
    for level in np.sort(filled.ravel()):  # noqa: B007
        held = (filled <= level + 1e-12).sum(axis=0)
        cost = sum(dist[h, z] * rare[:h, z].sum() - (dist[:h, z] * rare[:h, z]).sum() for z, h in enumerate(held))
        if alpha / C * cost >= (1 - alpha) * q:
            break
    mass = np.zeros(n)
    for z, h in enumerate(held):
        mass[order[:h, z]] += rare[:h, z] / (q * level)
        mass[order[h, z]] += (1 - rare[:h, z].sum() / level) / q
    return mass


@pytest.mark.parametrize("alpha", [0.01, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("prefetch", [1, 7, 5000])
def test_uniform_is_its_definition(alpha: float, prefetch: int):
    affinity, _ = planted(3)
    order, mass = everything(KnnUniform(alpha=alpha, C=0.5, prefetch=prefetch), affinity)
    np.testing.assert_allclose(mass, plain_uniform(affinity, alpha, 0.5, prefetch), atol=1e-12)
    assert mass.sum() == pytest.approx(1)
    by_hand = sorted(range(80), key=lambda i: (-round(mass[i], 9), -affinity[i].max(), i))
    assert order.tolist() == by_hand


@pytest.mark.parametrize("alpha", [0.01, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("prefetch", [2, 5000])
def test_kde_is_its_definition(alpha: float, prefetch: int):
    affinity, place = planted(4)
    _, mass = everything(KnnKde(alpha=alpha, C=0.5, sigma=1.2, prefetch=prefetch), affinity, place)
    np.testing.assert_allclose(mass, plain_kde(affinity, place, alpha, 0.5, 1.2, prefetch), atol=1e-9)
    assert mass.sum() == pytest.approx(1)


def test_alpha_near_one_is_the_nearest_row_only():
    affinity, place = planted(5)
    nearest = np.bincount(affinity.argmax(axis=0), minlength=80) / 4
    for selector, values in ((KnnUniform(alpha=1 - 1e-9), (affinity,)), (KnnKde(alpha=1 - 1e-9), (affinity, place))):
        np.testing.assert_allclose(everything(selector, *values)[1], nearest, atol=1e-6)


def test_lone_rows_are_held_alike_by_both():
    """Every density 1: at most one row a target apart."""
    rng = np.random.default_rng(6)
    affinity, place = rng.uniform(0, 1, (60, 3)), np.eye(60)
    held = []
    both = (KnnUniform(alpha=0.9, C=0.2, prefetch=6), (affinity,)), (KnnKde(alpha=0.9, C=0.2), (affinity, place))
    for selector, values in both:
        held.append(np.flatnonzero(everything(selector, *values)[1]))
    assert len(np.setxor1d(*held)) <= 3


def test_a_hundred_copies_have_the_mass_of_one():
    """The best row a hundred times, nine lone rows after it: 1 : 9 by rarity, 100 : 9 by count."""
    n = 1200
    place = np.eye(n)
    place[:100] = place[0]
    affinity = np.full((n, 1), 0.1)
    affinity[:100] = 0.9
    affinity[100:109, 0] = 0.9 - 1e-4 * np.arange(1, 10)
    _, kde = everything(KnnKde(alpha=0.01, C=5.0, prefetch=110), affinity, place)
    order, uniform = everything(KnnUniform(prefetch=109), affinity)
    assert kde[:100].sum() == pytest.approx(kde[105], rel=1e-6)
    assert uniform[:100].sum() == pytest.approx(100 * uniform[105])
    first = MaxAffinity().choose(affinity, price=np.ones(n), budget=100.0, rng=np.random.default_rng(0))
    assert sorted(first.index) == list(range(100))


def test_a_density_counts_no_more_than_its_neighbours():
    unit = np.tile(np.eye(3)[:1], (20, 1))
    np.testing.assert_allclose(density(unit, 0.75, 1000), 20)
    np.testing.assert_allclose(density(unit, 0.75, 7), 7)


def test_draws_follow_the_mass_and_are_paid_for():
    affinity, place = planted(7)
    selector = KnnKde(sampled=True, alpha=0.5, prefetch=5000)
    _, mass = everything(KnnKde(alpha=0.5), affinity, place)
    weight = np.zeros(80)
    for seed in range(50):
        subset = selector.choose(affinity, place, price=np.ones(80), budget=80.0, rng=np.random.default_rng(seed))
        assert subset.weight.sum() == 80
        weight[subset.index] += subset.weight
    assert np.abs(weight / 4000 - mass).max() < 5 * np.sqrt(mass.max() / 4000)
    price = np.linspace(0.5, 3, 80)
    subset = selector.choose(affinity, place, price=price, budget=9.0, rng=np.random.default_rng(1))
    assert (price[subset.index] * subset.weight).sum() <= 9.0


def test_the_notes_say_how_many_rows_have_mass():
    affinity, place = planted(8)
    subset = KnnUniform(prefetch=3).choose(affinity, price=np.ones(80), budget=5.0, rng=np.random.default_rng(0))
    assert "rows have mass" in subset.notes[0]
    assert subset.prefix(2).notes == subset.notes


def test_one_target_and_tiny_pools_will_do():
    affinity, place = planted(9, n=4, q=1)
    for selector, values in ((KnnUniform(), (affinity,)), (KnnKde(), (affinity, place))):
        order, mass = everything(selector, *values)
        assert sorted(order) == [0, 1, 2, 3]
        assert mass.sum() == pytest.approx(1)
