"""Hashed TF-IDF equals its formula, and is the same in every process."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.testing import assert_allclose

from thresher.core.pool import Pool
from thresher.signals._ngrams import gram_hashes
from thresher.signals._terms import tokens
from thresher.signals.hashed_ngrams import HashedNgrams

TEXTS = ["the cat sat on the mat", "the dog sat", "a b c d", "", "cat cat cat", "the the the cat sat"]


def pool_of(*texts: str) -> Pool:
    return Pool.from_messages([[{"role": "text", "content": t}] for t in texts])


def vectors(pool: Pool, tmp_path, **fields) -> np.ndarray:
    signal = HashedNgrams(**fields)
    return signal.measure(signal.prepare(pool, None, tmp_path / "own"), pool)


def grams_of(text: str, n: int) -> list[int]:
    hashes, owner = gram_hashes(tokens(pa.array([text], pa.large_string()), "words"), n)
    assert set(owner.tolist()) <= {0}
    return hashes.tolist()


def test_it_equals_the_formula_written_out(tmp_path):
    d, n = 512, 2
    buckets = [Counter(h % d for h in grams_of(t, n)) for t in TEXTS]
    held = Counter(h for row in buckets for h in row)
    want = np.zeros((len(TEXTS), d))
    for i, row in enumerate(buckets):
        for h, c in row.items():
            want[i, h] = (1 + math.log(c)) * (1 + math.log((1 + len(TEXTS)) / (1 + held[h])))
        want[i] /= np.linalg.norm(want[i]) or 1
    assert_allclose(vectors(pool_of(*TEXTS), tmp_path, d=d), want, rtol=1e-5, atol=1e-7)


def test_a_text_has_as_many_ngrams_as_it_should_and_none_spans_two_rows():
    words = tokens(pa.array(TEXTS, pa.large_string()), "words")
    hashes, owner = gram_hashes(words, 3)
    lengths = [len(t.split()) for t in TEXTS]
    assert np.bincount(owner, minlength=6).tolist() == [sum(max(s - i, 0) for i in range(3)) for s in lengths]
    for i, text in enumerate(TEXTS):
        assert sorted(hashes[owner == i].tolist()) == sorted(grams_of(text, 3))


def test_word_order_counts_only_with_pairs(tmp_path):
    pool = pool_of("alpha beta gamma", "gamma beta alpha", "delta")
    single, pairs = vectors(pool, tmp_path / "1", n=1), vectors(pool, tmp_path / "2", n=2)
    assert_allclose(single[0], single[1])
    assert not np.allclose(pairs[0], pairs[1])


def test_rows_have_length_one_but_for_those_without_words(tmp_path):
    got = np.linalg.norm(vectors(pool_of(*TEXTS), tmp_path), axis=1)
    assert_allclose(got, [1, 1, 1, 0, 1, 1], rtol=1e-6)


def test_the_hash_is_the_same_in_another_process():
    code = (
        "import pyarrow as pa; from thresher.signals._ngrams import gram_hashes; "
        "from thresher.signals._terms import tokens; "
        "print(gram_hashes(tokens(pa.array(['the cat sat on the mat'], pa.large_string()), 'words'), 2)[0].tolist())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(grams_of(TEXTS[0], 2))


def test_ten_thousand_words_collide_no_more_than_chance():
    words = " ".join(f"w{i}" for i in range(10_000))
    hashes = np.array(grams_of(words, 2), np.uint64)
    assert len(np.unique(hashes)) == 19_999
    load = np.bincount((hashes % np.uint64(4096)).astype(int), minlength=4096)
    mean = 19_999 / 4096
    assert 0.8 < load.var() / mean < 1.2, "as many as a Poisson law has"
