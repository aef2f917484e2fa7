"""Inner products survive; a seed is one projection whatever is asked for in which portions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from thresher.compute import memory
from thresher.errors import FieldError, UnknownName
from thresher.models.projection import KINDS, hadamard, make

REAL = [kind for kind in KINDS if kind != "none"]
SHAPES = [(8, 30), (30, 8), (40, 9)]
P = sum(a * b for a, b in SHAPES)  # 840


def drawn(kind: str, d: int, seed: int = 0, p: int = P):
    return make(kind, p, d, seed, SHAPES if kind == "factored" else None)


@pytest.fixture(scope="module")
def pairs() -> torch.Tensor:
    """(2, P): two vectors whose product is neither small nor their norm's."""
    g = torch.randn(2, P, generator=torch.Generator().manual_seed(0))
    g[1] += g[0]
    return g / g.norm(dim=1, keepdim=True)


def errors(kind: str, pairs: torch.Tensor, d: int, seeds: range) -> np.ndarray:
    """(seeds, 3): the products of both vectors with themselves and one another, less the true ones."""
    true = (pairs @ pairs.T).flatten()[[0, 1, 3]]
    found = [drawn(kind, d, seed)(pairs) for seed in seeds]
    return torch.stack([(y @ y.T).flatten()[[0, 1, 3]] - true for y in found]).numpy()


@pytest.mark.parametrize("kind", REAL)
def test_inner_products_are_unbiased_over_seeds(kind: str, pairs: torch.Tensor):
    off = errors(kind, pairs, 64, range(200))
    spread = off.std(0) / np.sqrt(200)
    assert np.all(spread > 0)
    assert np.all(np.abs(off.mean(0)) < 4 * spread), "four standard errors of the mean"


@pytest.mark.parametrize("kind", REAL)
def test_the_error_falls_as_one_over_the_root_of_d(kind: str, pairs: torch.Tensor):
    """Variance of <Pi g, Pi h> is at most (|g|^2 |h|^2 + <g, h>^2) / d; both sides of a matrix cost a factor more."""
    small, large = (errors(kind, pairs, d, range(120)) for d in (32, 512))
    product = float(pairs[0] @ pairs[1])
    for off, d in ((small, 32), (large, 512)):
        bound = np.sqrt(np.array([2, 1 + product**2, 2]) / d)
        rms = np.sqrt((off**2).mean(0))
        assert np.all(rms < (2.0 if kind == "factored" else 1.3) * bound)
    fall = np.sqrt((small**2).mean() / (large**2).mean())
    assert 2.8 < fall < 8.0, "sixteen times the numbers: a quarter of the error, or less where rows stay whole"


@pytest.mark.parametrize("kind", REAL)
def test_a_seed_is_one_projection_for_every_portion(kind: str, pairs: torch.Tensor):
    rows = torch.randn(70, P, generator=torch.Generator().manual_seed(1))
    projection = drawn(kind, 50, seed=7)
    whole = projection(rows)
    assert_allclose(drawn(kind, 50, seed=7)(rows[3:4]), whole[3:4], atol=1e-5)
    for cuts in ((1, 839), (240, 480), (50, 100, 517)):
        edges = [0, *cuts, P]
        spans = list(zip(edges, edges[1:], strict=False))
        parts = [projection(rows[:, a:b], offset=a) for a, b in reversed(spans)]
        assert_allclose(sum(parts), whole, atol=1e-4)
    other = drawn(kind, 50, seed=8)(rows)
    assert float((other - whole).abs().max()) > 0.1


def test_signs_do_not_depend_on_the_number_format(pairs: torch.Tensor):
    rough = pairs.bfloat16()
    for kind in REAL:
        projection = drawn(kind, 32)
        assert projection(rough).dtype == torch.float32
        assert_allclose(projection(rough), projection(rough.float()), atol=1e-6)


@pytest.mark.parametrize(("d", "p"), [(64, 300), (33, 129)])
def test_rademacher_is_independent_signs_of_one_size(d: int, p: int):
    matrix = make("rademacher", p, d, 3)(torch.eye(p)).T  # (d, p)
    assert_allclose(matrix.abs(), np.float32(d**-0.5), rtol=1e-6)
    sign = torch.sign(matrix).numpy()
    assert abs(sign.mean()) < 4 / np.sqrt(d * p)
    between = sign @ sign.T / np.sqrt(p)
    np.fill_diagonal(between, 0.0)
    assert np.abs(between).max() < 5.0, "no two rows go together"
    assert len({row.tobytes() for row in np.sign(sign)}) == d


def test_blocks_come_from_seed_and_number_alone():
    """Coordinates beyond the first block do not know how many were before them."""
    long, short = make("rademacher", 1000, 16, 5), make("rademacher", 260, 16, 5)
    x = torch.randn(2, 260, generator=torch.Generator().manual_seed(0))
    assert_array_equal(long(x), short(x))


@pytest.mark.parametrize("d", [3, 64, 100])
def test_a_sparse_column_has_four_places_of_one_size(d: int):
    p = 300
    matrix = make("sjlt", p, d, 1)(torch.eye(p)).numpy()  # (p, d)
    places = min(4, d)
    assert_array_equal((matrix != 0).sum(1), places)
    assert_allclose((matrix**2).sum(1), 1.0, rtol=1e-6)
    assert set(np.round(np.abs(matrix[matrix != 0]), 6)) == {np.round(np.float32(places**-0.5), 6)}
    if d == 64:
        used = (matrix != 0).sum(0)
        assert used.min() > 5, "every place is used"
        assert abs(matrix.sum()) < 4 * np.sqrt(p), "signs cancel"


@pytest.mark.parametrize("size", [1, 2, 8, 256, 1024])
def test_hadamard_keeps_lengths_and_has_an_inverse(size: int):
    x = torch.randn(3, size, generator=torch.Generator().manual_seed(0))
    y = hadamard(x)
    assert_allclose(y.norm(dim=1), x.norm(dim=1) * size**0.5, rtol=1e-5)
    assert_allclose(hadamard(torch.eye(size)).abs(), 1.0)


def test_hadamard_blocks_that_keep_every_row_would_be_lossless():
    """Rows of the transform are orthogonal: one block's error is that of leaving rows out, never more."""
    x = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    y = hadamard(x) / 8.0
    assert_allclose((y**2).sum(), (x**2).sum(), rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [P, P + 1])
def test_nothing_is_projected_where_d_is_large_enough(kind: str, d: int, pairs: torch.Tensor):
    projection = make(kind, P, d, 0)
    assert (projection.p, projection.d) == (P, P)
    assert_array_equal(projection(pairs), pairs)
    assert_array_equal(projection(pairs[:, 5:9], offset=5)[:, 5:9], pairs[:, 5:9])


def test_products_of_factors_are_projected_like_the_matrix():
    left, right = torch.randn(3, 6, 8), torch.randn(3, 6, 30)
    matrix = torch.bmm(left.transpose(1, 2), right).flatten(1)
    for kind in REAL:
        projection, out = drawn(kind, 50), torch.zeros(3, 50)
        projection.add_product(out, left, right, 0)
        assert_allclose(out, projection(matrix), atol=1e-4)


def test_factored_keeps_the_short_side_whole():
    projection = drawn("factored", 64)
    assert [projection.kept(i) for i in range(3)] == [(8, 8), (8, 8), (8, 8)]
    assert [drawn("factored", 128).kept(i) for i in range(3)] == [(8, 16), (16, 8), (14, 9)]


@pytest.mark.parametrize("kind", ["rademacher", "sjlt", "srht"])
def test_memory_stays_bounded(kind: str):
    """The matrix would be 512 MB; what is made on the way stays under 64 MB above input and output."""
    g = torch.ones(16, 2**18)
    projection = make(kind, 2**18, 512, 0)
    projection(g[:, :4096])
    memory.reset_peak()
    before = memory.peak_bytes()
    projection(g)
    assert memory.peak_bytes() - before < 64 * 2**20


def test_what_cannot_be_is_refused():
    with pytest.raises(UnknownName, match="rademacher"):
        make("gauss", 10, 5, 0)
    with pytest.raises(FieldError, match="d >= 1"):
        make("sjlt", 10, 0, 0)
    with pytest.raises(FieldError, match="shapes of all parameters"):
        make("factored", 10, 5, 0)
    with pytest.raises(FieldError, match="do not exist"):
        make("sjlt", 10, 5, 0)(torch.ones(1, 4), offset=7)
