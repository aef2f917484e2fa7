"""Planted copies are found, each once and under the right name."""

import numpy as np

from thresher.core.pool import Pool
from thresher.data.chat import join
from thresher.data.check import check
from thresher.data.duplicates import repeats, rows_also_in

WORDS = [f"w{i}" for i in range(300)]


def text(seed: int, words: int = 60) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def pool_of(texts, groups=None) -> Pool:
    rows = [[{"role": "user", "content": "Go on."}, {"role": "assistant", "content": t}] for t in texts]
    return Pool.from_messages(rows, groups)


def changed(t: str) -> str:
    return " ".join(["other", *t.split()[1:]])


def test_exact_and_near_copies_point_at_the_first():
    texts = [text(i) for i in range(20)]
    found = repeats(pool_of([*texts, "  " + texts[3].upper() + "\n", changed(texts[5]), text(99)]))
    assert found.exact == [(20, 3)]
    assert found.near == [(21, 5)]


def test_texts_with_half_their_words_in_common_are_not_near():
    a = text(1, 80).split()
    found = repeats(pool_of([" ".join(a), " ".join(a[:40] + text(2, 40).split())]))
    assert found.near == []


def test_target_rows_in_the_pool_are_found_on_both_sides():
    texts = [text(i) for i in range(10)]
    pool, target = pool_of(texts), pool_of([text(50), texts[4].title(), changed(texts[7])])
    shared = rows_also_in(pool, target, near=True)
    assert shared.pool_exact.tolist() == [4]
    assert shared.target_exact.tolist() == [1]
    assert shared.pool_near.tolist() == [7]
    assert shared.target_near.tolist() == [2]
    assert rows_also_in(pool, target)[0].tolist() == [4]


def test_the_report_has_the_keys_scripts_rely_on():
    texts = [text(i) for i in range(6)]
    pool = pool_of([*texts, texts[0]], ["a", "b"] * 3 + ["a"])
    told = check(pool, pool_of([texts[2]]))
    assert told["rows"] == 7
    assert told["tokens"] is None
    assert told["groups"] == {"a": 4, "b": 3}
    assert told["untrainable"] == []
    assert told["duplicates"]["exact"] == 1
    assert told["duplicates"]["examples"] == [{"kind": "exact", "row": "row-6", "of": "row-0"}]
    assert told["target_in_pool"] == {"exact": 1, "near": 0, "rows": ["row-2"]}
    assert len(told["problems"]) == 2


def test_rows_whose_prompt_fills_the_window_are_listed():
    pool = pool_of(["one two", "three"])
    trained = [np.array([False, False, True]), np.array([False, False])]
    encoded = join([np.arange(3), np.arange(2)], trained, np.array([0, 4]), "plain")
    told = check(pool, None, encoded)
    assert told["tokens"] == 5
    assert told["untrainable"] == ["row-1"]
    assert any("lose 4 tokens" in problem for problem in told["problems"])
