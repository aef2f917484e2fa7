"""BM25 against rank_bm25: the same ranks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher.core.pool import Pool
from thresher.signals.bm25 import BM25

pytestmark = pytest.mark.parity
rank_bm25 = pytest.importorskip("rank_bm25", reason="the package rank-bm25 is not installed")

WORDS = [f"word{i}" for i in range(200)]


def texts(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, len(WORDS) + 1)
    return [" ".join(rng.choice(WORDS, int(rng.integers(3, 40)), p=share / share.sum())) for _ in range(n)]


def pool_of(lines: list[str]) -> Pool:
    return Pool.from_messages([[{"role": "text", "content": line}] for line in lines])


def test_okapi_scores_are_equal_up_to_its_floor_and_ranks_are_equal(tmp_path):
    documents, queries = texts(400, 0), texts(12, 1)
    index = rank_bm25.BM25Okapi([d.split() for d in documents], k1=1.5, b=0.75)
    want = np.stack([index.get_scores(q.split()) for q in queries], axis=1)
    signal = BM25(idf="okapi")
    got = signal.measure(signal.prepare(pool_of(documents), pool_of(queries), tmp_path), pool_of(documents))
    assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    for z in range(len(queries)):
        apart = np.abs(np.subtract.outer(want[:, z], want[:, z])) > 1e-3
        same = np.sign(np.subtract.outer(got[:, z], got[:, z])) == np.sign(np.subtract.outer(want[:, z], want[:, z]))
        assert same[apart].all()
