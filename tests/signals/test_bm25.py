"""BM25 equals a ten-line dense reference and bm25s, and keeps the laws of METHODS 1.2.1."""

import math
import pickle
import re
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher.core.pool import Pool
from thresher.signals.bm25 import BM25

WORDS = [f"word{i}" for i in range(60)]


def texts(n: int, seed: int = 0, words: int = 25) -> list[str]:
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, len(WORDS) + 1)
    return [" ".join(rng.choice(WORDS, int(rng.integers(2, words)), p=share / share.sum())) for _ in range(n)]


def pool_of(answers, groups=None, ask="") -> Pool:
    rows = [[{"role": "user", "content": ask}, {"role": "assistant", "content": a}] for a in answers]
    return Pool.from_messages(rows, groups)


def score(signal: BM25, pool: Pool, target: Pool, tmp_path) -> np.ndarray:
    return signal.measure(signal.prepare(pool, target, tmp_path), pool)


def dense(documents, queries, k1=1.5, beta=0.75, idf=lambda n, held: math.log(1 + (n - held + 0.5) / (held + 0.5))):
    """The definition, word by word: lists of words in, (n, q) out."""
    n, mean = len(documents), sum(map(len, documents)) / len(documents)
    held = Counter(w for d in documents for w in set(d))
    out = np.zeros((n, len(queries)))
    for i, d in enumerate(documents):
        f = Counter(d)
        for z, query in enumerate(queries):
            for w in query:
                damping = k1 * (1 - beta + beta * len(d) / mean)
                out[i, z] += idf(n, held[w]) * f[w] * (k1 + 1) / (f[w] + damping) if f[w] else 0.0
    return out


@pytest.mark.parametrize(("k1", "beta"), [(1.5, 0.75), (0.9, 0.0), (2.0, 1.0)])
def test_it_equals_a_dense_reference_on_fifty_rows(k1, beta, tmp_path):
    documents, queries = texts(50), texts(7, seed=1)
    got = score(BM25(k1=k1, beta=beta), pool_of(documents), pool_of(queries), tmp_path)
    want = dense([d.split() for d in documents], [q.split() for q in queries], k1, beta)
    assert got.dtype == np.float32
    assert_allclose(got, want, rtol=1e-5)  # float32 sums of some twenty terms


def test_it_equals_bm25s_over_a_whole_corpus(tmp_path):
    bm25s = pytest.importorskip("bm25s")
    documents, queries = texts(300), texts(9, seed=1)
    index = bm25s.BM25(method="atire", idf_method="lucene", k1=1.5, b=0.75)
    index.index([d.split() for d in documents], show_progress=False)
    want = np.stack([index.get_scores(q.split()) for q in queries], axis=1)
    assert_allclose(score(BM25(), pool_of(documents), pool_of(queries), tmp_path), want, rtol=1e-4, atol=1e-5)


def test_words_are_lower_case_runs_of_letters_or_digits(tmp_path):
    documents = ["Größe, 12.5 KG!", "snake_case don\u2019t", "\u4f60\u597d e\u0301\u0660", "...", "", "KG kg\u00a0kg"]
    queries = [*documents, "gr\u00d6\u00dfE case 5 t kg"]
    words = [re.findall(r"[^\W_]+", text.lower()) for text in (*documents, *queries)]
    got = score(BM25(), pool_of(documents), pool_of(queries), tmp_path)
    assert_allclose(got, dense(words[:6], words[6:]), rtol=1e-5)
    assert not got[3].any()
    assert not got[4].any(), "a row without words matches nothing, not even another without words"


@pytest.mark.parametrize("size", [1, 7, 64])
def test_part_size_never_changes_a_value(size, tmp_path):
    pool, target, signal = pool_of(texts(50)), pool_of(texts(7, seed=1)), BM25()
    state = pickle.loads(pickle.dumps(signal.prepare(pool, target, tmp_path)))
    parts = np.concatenate([signal.measure(state, rows) for _, rows in pool.parts(size)])
    assert np.array_equal(parts, score(signal, pool, target, tmp_path))


def test_a_document_without_the_querys_words_keeps_the_order(tmp_path):
    documents, query = texts(40), pool_of(["word3 word9 word20"])
    before = score(BM25(beta=0.0), pool_of(documents), query, tmp_path)[:, 0]
    after = score(BM25(beta=0.0), pool_of([*documents, "something else entirely"] * 1), query, tmp_path)[:-1, 0]
    one = score(BM25(), pool_of(documents), pool_of(["word3"]), tmp_path)[:, 0]
    two = score(BM25(), pool_of([*documents, "something else"]), pool_of(["word3"]), tmp_path)[:-1, 0]
    assert np.array_equal(np.argsort(-before, kind="stable")[:10], np.argsort(-after, kind="stable")[:10])
    assert np.array_equal(np.argsort(-one, kind="stable")[:5], np.argsort(-two, kind="stable")[:5])


def test_a_row_that_is_the_query_is_first_among_rows_of_its_length(tmp_path):
    rng = np.random.default_rng(0)
    documents = [" ".join(rng.choice(WORDS, 12, replace=False)) for _ in range(60)]
    got = score(BM25(), pool_of(documents), pool_of(documents[10:15]), tmp_path)
    assert got.argmax(axis=0).tolist() == [10, 11, 12, 13, 14]


def test_without_beta_length_does_not_count(tmp_path):
    pool = pool_of(["word1", "word1 " + "word50 " * 40, "word2"])
    flat = score(BM25(beta=0.0), pool, pool_of(["word1"]), tmp_path)[:, 0]
    bent = score(BM25(), pool, pool_of(["word1"]), tmp_path)[:, 0]
    assert flat[0] == flat[1]
    assert bent[0] > bent[1]


def test_every_row_twice_keeps_the_ranking(tmp_path):
    documents, query = texts(30), pool_of(["word1 word1"])
    once = score(BM25(), pool_of(documents), query, tmp_path)[:, 0]
    twice = score(BM25(), pool_of(documents + documents), query, tmp_path)[:, 0]
    assert_allclose(twice[:30], twice[30:])
    above = once[:, None] > once[None, :] + 1e-6
    assert (twice[:30][:, None] - twice[:30][None, :])[above].min() > 0


def test_repeats_of_a_word_in_the_query_count_again(tmp_path):
    got = score(BM25(), pool_of(texts(20)), pool_of(["word1", "word1 word1"]), tmp_path)
    assert_allclose(got[:, 1], 2 * got[:, 0], rtol=1e-6)


def test_okapi_lifts_negative_idf_to_a_quarter_of_the_mean_over_all_words(tmp_path):
    documents, queries = [f"the {t}" for t in texts(50)], ["the word1 word30", "word2"]
    words = [d.split() for d in documents]
    held = Counter(w for d in words for w in set(d))
    raw = {w: math.log(50 - h + 0.5) - math.log(h + 0.5) for w, h in held.items()}
    mean = sum(raw.values()) / len(raw)
    want = np.zeros((50, 2))
    for word in ("the", "word1", "word30", "word2"):
        weight = 0.25 * mean if raw[word] < 0 else raw[word]
        want += dense(words, [[word] * q.split().count(word) for q in queries], idf=lambda n, h, v=weight: v)
    assert raw["the"] < 0, "the test is about a negative idf"
    got = score(BM25(idf="okapi"), pool_of(documents), pool_of(queries), tmp_path)
    assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_one_query_a_group_is_its_rows_in_markers_joined(tmp_path):
    pool = pool_of(["x"], ask="user xassistant two b")
    target = pool_of(["a", "b", "c"], ["g2", "g1", "g2"], ask="two")
    signal = BM25(text="first_user", per_group_query=True, cleaning="ccds", idf="okapi")
    assert signal._queries(target)[0] == "<|user|>\ntwo\n<|assistant|>\nb"
    assert signal._queries(target)[1] == "<|user|>\ntwo\n<|assistant|>\na<|user|>\ntwo\n<|assistant|>\nc"
    assert score(signal, pool, target, tmp_path).shape == (1, 2)


def test_ccds_cleaning_deletes_punctuation_and_splits_on_single_blanks():
    import pyarrow as pa

    from thresher.signals._terms import tokens

    got = tokens(pa.array(["It's  A\nto-do, (x)", ""], pa.large_string()), "ccds").to_pylist()
    assert got == [["its", "", "a", "todo", "x"], [""]]


def test_the_price_grows_with_rows_words_and_queries():
    from thresher.core.cost import Load

    price = [BM25().cost(load).cpu_seconds for load in (Load(n=10, tokens=100, q=1), Load(n=20, tokens=100, q=1),
             Load(n=20, tokens=200, q=1), Load(n=20, tokens=200, q=9))]  # fmt: skip
    assert price == sorted(set(price))
    assert BM25().sizes(pool_of(texts(50)), pool_of(texts(3))).tokens > 100
