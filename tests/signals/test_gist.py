"""GIST: an orthonormal basis of the target's gradients, and cosines inside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from warm import planted, target, trained, warmup

from thresher import pipeline
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import FieldError, KindError
from thresher.models import gradient
from thresher.models.load import encoded
from thresher.signals._subspace import Subspace, subspace
from thresher.signals.gist import Gist
from thresher.signals.length import Length

Q, P = 7, 900


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """(q, p), of very different lengths."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(Q, P)) * np.geomspace(1e-3, 1, Q)[:, None]).astype(np.float32)


def basis_of(g: np.ndarray, home: Path, *, rank: int = 0, trace: float = 1.0, room: int = 99) -> tuple:
    batches = [(np.arange(at, min(at + 3, len(g))), torch.from_numpy(g[at : at + 3])) for at in range(0, len(g), 3)]
    found = subspace(batches, *g.shape, rank=rank, most=150, trace=trace, fitting=lambda r: min(r, room), home=home)
    return found, Subspace.basis(home).numpy()


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)


def test_columns_are_orthonormal_and_p_is_worked_on_in_pieces(vectors: np.ndarray, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("thresher.signals._subspace.COLUMNS", 128)
    found, b = basis_of(vectors, tmp_path / "own")
    assert b.shape == (Q, P)
    assert_allclose(b @ b.T, np.eye(Q), atol=1e-4)
    assert_allclose(vectors @ b.T, found.rows, atol=1e-4)
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["basis.npy"], "q p numbers do not stay"


def test_what_lies_in_the_span_loses_nothing(vectors: np.ndarray, tmp_path: Path):
    _, b = basis_of(vectors, tmp_path / "own")
    inside = np.random.default_rng(1).normal(size=(5, Q)).astype(np.float32) @ vectors
    assert_allclose((inside @ b.T) @ b, inside, atol=1e-4)
    assert_allclose(cosines(inside @ b.T, vectors @ b.T), cosines(inside, vectors), atol=1e-4)


def test_the_rank_holds_the_trace(vectors: np.ndarray, tmp_path: Path):
    energy = np.linalg.svd(vectors.astype(np.float64), compute_uv=False) ** 2
    for trace in (0.5, 0.9, 0.95, 1.0):
        found, _ = basis_of(vectors, tmp_path / "own", trace=trace)
        r = found.rank
        assert energy[:r].sum() >= trace * energy.sum() * (1 - 1e-9)
        assert r == 1 or energy[: r - 1].sum() < trace * energy.sum()
        assert found.trace == pytest.approx(energy[:r].sum() / energy.sum(), rel=1e-5)
    assert basis_of(vectors, tmp_path / "own", rank=3)[0].rank == 3
    lowered, b = basis_of(vectors, tmp_path / "own", rank=5, room=2)
    assert (lowered.rank, lowered.wanted, len(b)) == (2, 5, 2)


def test_copies_add_no_direction(vectors: np.ndarray, tmp_path: Path):
    found, b = basis_of(np.concatenate([vectors[3:], vectors[3:]]), tmp_path / "own", rank=8)
    assert found.rank == len(b) == 4


# -- the signal


@pytest.fixture(scope="module")
def pool() -> Pool:
    return planted(80, 0.25)[0]


@pytest.fixture(scope="module")
def model(tiny_model: str, cache: Path) -> str:
    return trained(tiny_model, cache / "trained-on-counting")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("gist"))


@pytest.fixture(scope="module")
def grouped(pool: Pool) -> Pool:
    rows = list(target(4).messages())
    others = [list(pool.messages())[i] for i in np.flatnonzero(~planted(80, 0.25)[1])[:2]]
    return Pool.from_messages([*rows, *others], list("bbbbaa"), ids=[f"t{i}" for i in range(6)], name="grouped")


def scores(signal: Gist, pool: Pool, near: Pool, store: Store) -> np.ndarray:
    return np.asarray(pipeline.measure(signal, pool, near, store=store).values)


def test_of_full_rank_it_is_the_cosine_of_what_the_span_sees(model: str, pool: Pool, grouped: Pool, shared: Store):
    signal = Gist(warmup=warmup(model), rank=6)
    found = pipeline.measure(signal, pool, grouped, store=shared)
    run = signal.warmup.opened(pool, grouped, shared.own(found.bottom))
    network = run.network(1)
    x, y = (
        gradient.per_example(network, 0, encoded(model, rows, 96), slice(None)).numpy().astype(np.float64)
        for rows in (pool, grouped)
    )
    means = np.stack([y[4:].mean(axis=0), y[:4].mean(axis=0)])
    b = np.linalg.svd(y, full_matrices=False)[2]  # (q, p)
    assert_allclose(found.values, cosines(x @ b.T, means @ b.T), atol=1e-4)
    assert found.manifest["account"]["rank"] == 6
    assert found.manifest["account"]["trace"] == pytest.approx(1)


def test_turning_the_target_rows_within_a_group_changes_nothing(model: str, pool: Pool, grouped: Pool, shared: Store):
    signal = Gist(warmup=warmup(model))
    turned = grouped.take([2, 0, 3, 1, 5, 4])
    assert_allclose(scores(signal, pool, turned, shared), scores(signal, pool, grouped, shared), atol=1e-4)


def test_planted_rows_are_ahead(model: str, pool: Pool, shared: Store):
    """By far on average; not each of them, since a cosine inside a few directions forgets what lies outside."""
    near = planted(80, 0.25)[1]
    ours = scores(Gist(warmup=warmup(model), rank=6), pool, target(), shared).max(axis=1)
    assert ours[near].mean() > ours[~near].mean() + 0.2
    assert near[np.argsort(-ours)[: near.sum()]].mean() > 1.5 * near.mean()


def test_the_basis_is_held_to_its_memory_and_the_card_says_so(model: str, pool: Pool, grouped: Pool, shared: Store):
    p = warmup(model).parameters()
    found = pipeline.measure(
        Gist(warmup=warmup(model), trace=1.0, max_bytes=4.0 * p * 2.5), pool, grouped, store=shared
    )
    assert found.manifest["account"]["rank"] == 2
    assert found.manifest["account"]["rank_wanted"] == 6
    with pytest.raises(FieldError, match="does not hold one direction of"):
        Gist(warmup=warmup(model), max_bytes=4.0 * p - 1).sizes(pool, grouped)


def test_the_price_is_what_the_meter_counts(model: str, store: Store):
    row = [{"role": "user", "content": "Name it."}, {"role": "assistant", "content": "It is this one here."}]
    other = [{"role": "user", "content": "Name it."}, {"role": "assistant", "content": "It is that one here."}]
    pool = Pool.from_messages([row] * 12, name="alike")
    near = Pool.from_messages([row, other], ids=["a", "b"])
    receipt = pipeline.measure(Gist(warmup=warmup(model, share=0.5), rank=2), pool, near, store=store).receipt
    assert receipt.flops == pytest.approx(receipt.estimated_flops, rel=0.03)


def test_bad_fields(model: str):
    with pytest.raises(KindError, match="reads the checkpoints of a warmup, not a length"):
        Gist(warmup=Length(model=model))
    for fields in ({"rank": -1}, {"most": 0}, {"trace": 0.0}):
        with pytest.raises(FieldError, match="gist takes a rank from 0"):
            Gist(warmup=warmup(model), **fields)
