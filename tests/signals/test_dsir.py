"""DSIR equals its formula written out, and keeps the laws of METHODS 1.2.2."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher import pipeline
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import PoolError
from thresher.signals.dsir import DSIR

WORDS = [f"word{i}" for i in range(80)]


def texts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(2, 25))) + "!?" * int(rng.integers(2)) for _ in range(n)]


def pool_of(lines: list[str]) -> Pool:
    return Pool.from_messages([[{"role": "text", "content": line}] for line in lines])


def score(signal: DSIR, pool: Pool, target: Pool, tmp_path) -> np.ndarray:
    return signal.measure(signal.prepare(pool, target, tmp_path / "own"), pool)


def grams(line: str) -> list[str]:
    words = re.findall(r"\w+|[^\w\s]+", line.lower())
    return words + [f"{a} {b}" for a, b in zip(words, words[1:], strict=False)]


def by_definition(pool: list[str], target: list[str], buckets: int = 10_000) -> list[float]:
    def bucket(gram: str) -> int:
        return int(hashlib.sha256(gram.encode()).hexdigest(), 16) % buckets

    counts = [Counter(bucket(g) for line in lines for g in grams(line)) for lines in (target, pool)]
    p_target, p_pool = ({h: c / sum(found.values()) for h, c in found.items()} for found in counts)
    return [
        sum(math.log(p_target.get(b, 0) + 1e-8) - math.log(p_pool.get(b, 0) + 1e-8) for b in map(bucket, grams(line)))
        for line in pool
    ]


@pytest.mark.parametrize("buckets", [10_000, 50, 100_000])
def test_it_equals_the_formula(buckets, tmp_path):
    pool, target = texts(60), [*texts(9, seed=1), "Größe, naïve — don\u2019t \u4f60\u597d"]
    got = score(DSIR(buckets=buckets), pool_of(pool), pool_of(target), tmp_path)
    assert_allclose(got, by_definition(pool, target, buckets), rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("hash", ["sha256", "mixed"])
def test_a_target_that_is_the_pool_scores_zero(hash, tmp_path):
    pool = pool_of(texts(50))
    assert_allclose(score(DSIR(hash=hash), pool, pool, tmp_path), 0, atol=1e-10)


@pytest.mark.parametrize("hash", ["sha256", "mixed"])
def test_a_word_only_the_target_is_rich_in_lifts_exactly_the_rows_that_hold_it(hash, tmp_path):
    lines = texts(50)
    held = [3, 17]
    for i in held:
        lines[i] = "zzz"
    got = score(DSIR(hash=hash, n=1), pool_of(lines), pool_of([*texts(50), *["zzz"] * 400]), tmp_path)
    assert set(np.argsort(-got)[:2].tolist()) == set(held)
    assert got[held].min() > 0 > np.delete(got, held).max()


def test_the_mixed_hash_says_the_same_as_the_papers_where_nothing_collides(tmp_path):
    pool, target = pool_of(texts(60)), pool_of(texts(9, seed=1))
    one, two = (score(DSIR(hash=h, buckets=10_000_000), pool, target, tmp_path / h) for h in ("sha256", "mixed"))
    assert_allclose(one, two, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("hash", ["sha256", "mixed"])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_part_size_changes_nothing_nor_does_what_was_kept(hash, size, tmp_path):
    pool, target, signal = pool_of(texts(50)), pool_of(texts(9, seed=1)), DSIR(hash=hash)
    state = signal.prepare(pool, target, tmp_path)
    parts = [np.concatenate([signal.measure(state, rows) for _, rows in pool.parts(size)]) for _ in range(2)]
    assert np.array_equal(parts[0], parts[1])
    assert_allclose(parts[0], score(signal, pool, target, tmp_path / "again"), rtol=1e-12, atol=1e-12)


def test_what_was_counted_is_not_left_behind(store: Store):
    pool, target = pool_of(texts(50)), pool_of(texts(9, seed=1))
    pipeline.measure(DSIR(), pool, target, store=store)
    assert not list(store.root.rglob("*.npz"))


def test_rows_without_words_are_as_likely_under_both(tmp_path):
    got = score(DSIR(), pool_of([*texts(9), "", "   "]), pool_of(texts(3, seed=1)), tmp_path)
    assert got[9:].tolist() == [0, 0]


def test_short_rows_can_be_left_out():
    pool = pool_of(["one two three", "one", "one, two"])
    assert DSIR(min_words=3).usable(pool).tolist() == [True, False, True]
    assert DSIR().usable(pool) is None


def test_per_token_takes_length_out(tmp_path):
    line = "alpha beta gamma delta"
    pool, target = pool_of([line, f"{line} {line} {line}", *texts(20)]), pool_of(["alpha beta gamma delta"] * 3)
    whole, mean = (score(DSIR(n=1, per_token=t), pool, target, tmp_path / str(t)) for t in (False, True))
    assert_allclose(whole[1], 3 * whole[0], rtol=1e-9)
    assert_allclose(mean[1], mean[0], rtol=1e-9)


def test_only_so_many_ngrams_are_fitted_up_to_the_row_that_goes_beyond(tmp_path):
    lines, target = texts(50), pool_of(texts(5, seed=1))
    limit = sum(len(grams(line)) for line in lines[:10])
    got = score(DSIR(fit_ngrams=limit), pool_of(lines), target, tmp_path)
    want = score(DSIR(), pool_of(lines[:11]), target, tmp_path / "whole")
    assert_allclose(got[:11], want, rtol=1e-12, atol=1e-12)


def test_a_target_without_words_is_refused(tmp_path):
    with pytest.raises(PoolError, match="holds no word"):
        score(DSIR(), pool_of(texts(5)), pool_of(["", " "]), tmp_path)
