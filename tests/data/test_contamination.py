"""Planted test rows are found, exactly and nearly, and nothing else is; templates do not count."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.core.pool import Pool
from thresher.data.contamination import contamination, gram_size, said, words

WORDS = [f"w{i}" for i in range(400)]


def rows(prompts: list[str], name: str, answer: str = "yes") -> Pool:
    return Pool.from_messages(
        [[{"role": "user", "content": p}, {"role": "assistant", "content": answer}] for p in prompts], name=name
    )


def prompt(seed: int, n: int = 40) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, n))


def brute(asked: list[str], text: list[str], gram: int) -> float:
    """The share of words that lie in a shared n-gram, looked for one by one."""
    found = [
        any(
            asked[at : at + gram] == text[there : there + gram]
            for at in range(max(0, i - gram + 1), min(i, len(asked) - gram) + 1)
            for there in range(len(text) - gram + 1)
        )
        for i in range(len(asked))
    ]
    return sum(found) / len(asked)


def test_planted_rows_are_found_and_no_others():
    test = rows([prompt(i) for i in range(6)], "test")
    pool = [prompt(100 + i) for i in range(30)]
    pool[7] = prompt(2).upper().replace(" ", ",  ", 5) + "!"  # the same words in another dress
    pool[11] = f"Something else first. {' '.join(prompt(4).split()[5:35])} and an end"  # 30 of 40 words
    pool[20] = f"Little of it: {' '.join(prompt(5).split()[:15])} {prompt(300)}"  # 15 of 40
    found = contamination(rows(pool, "pool"), test)
    assert found.exact.tolist() == [2]
    assert found.near.tolist() == [4]
    assert found.pairs == ((2, 7, 1.0), (4, 11, 0.75))
    assert found.pool_rows.tolist() == [7, 11]
    assert [found.within(np.array(chosen)) for chosen in ([7, 11], [11, 3], [0, 20])] == [2, 1, 0]
    line = {"task": "t", **found.to_dict()}
    assert (line["rows"], line["exact"], line["near"], line["words_of_a_gram"]) == (6, 1, 1, 13)
    assert said(line) == "t: of 6 test rows 1 stand in the pool and 1 nearly do, in 2 of its rows."


@pytest.mark.parametrize("seed", range(6))
def test_shares_are_those_of_a_search_one_by_one(seed: int):
    rng = np.random.default_rng(seed)
    asked = prompt(seed, 50).split()
    text = prompt(seed + 50, 80).split()
    at, there, size = rng.integers(0, 15), rng.integers(0, 30), rng.integers(25, 35)
    text[there : there + size] = asked[at : at + size]
    found = contamination(rows([" ".join(text)], "pool"), rows([" ".join(asked)], "test"))
    expected = brute(asked, text, found.gram)
    assert (found.pairs == ()) == (expected < 0.5)
    assert all(share == pytest.approx(expected) for _, _, share in found.pairs)


def test_an_answer_that_holds_the_question_counts_as_well():
    pool = rows(["say it"], "pool", answer=prompt(1))
    assert contamination(pool, rows([prompt(1)], "test")).near.tolist() == [0]


def test_words_of_a_template_count_for_nobody():
    head = prompt(77, 60)
    test = rows([f"{head} {prompt(i, 20)}" for i in range(10)], "test")
    pool = rows([f"{head} {prompt(200 + i, 20)}" for i in range(10)] + [f"{head} {prompt(3, 20)} more"], "pool")
    found = contamination(pool, test)
    assert found.pool_rows.tolist() == [10]
    assert found.near.tolist() == [3]


def test_short_prompts_are_compared_exactly():
    test = rows(["Who is it?", "Who was that man?"], "test")
    found = contamination(rows(["who is it", "who was that", "who was that man then"], "pool"), test)
    assert (found.exact.tolist(), found.near.tolist()) == ([0], [])
    assert contamination(rows(["something"], "pool"), test).pairs == ()


def test_the_size_of_a_gram_follows_the_rule():
    assert [gram_size(lengths) for lengths in ([3] * 20, [10] * 20, [90] * 20, [])] == [8, 10, 13, 13]
    assert words("It's  A “test”, no?") == ["it", "s", "a", "test", "no"]


def test_order_and_parts_of_the_pool_change_nothing(monkeypatch: pytest.MonkeyPatch):
    test = rows([prompt(i) for i in range(5)], "test")
    pool = rows([prompt(i % 9) for i in range(25)], "pool")
    before = contamination(pool, test).pairs
    monkeypatch.setattr("thresher.data.contamination.BLOCK", 4)
    assert contamination(pool, test).pairs == before
    assert len(before) == sum(i % 9 < 5 for i in range(25))
