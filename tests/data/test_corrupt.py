"""What was made worse is exactly what is said, and nothing else changed."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.core.pool import Pool
from thresher.data.corrupt import with_skew, with_wrong_answers
from thresher.data.synthetic import synthetic
from thresher.errors import PoolError


def chat(answers: list[str], groups: list[str] | None = None) -> Pool:
    ask = [[{"role": "user", "content": f"question {i}"}, {"role": "assistant", "content": a}]
           for i, a in enumerate(answers)]  # fmt: skip
    return Pool.from_messages(ask, groups)


@pytest.mark.parametrize("wrong", ["another's", "shuffled"])
def test_a_share_of_the_answers_is_wrong_and_the_rest_untouched(wrong: str):
    pool, _, _ = synthetic(300)
    made, noisy = with_wrong_answers(pool, 0.2, seed=3, wrong=wrong)
    assert noisy.sum() == 60
    differs = np.array([a != b for a, b in zip(pool.answer(), made.answer(), strict=True)])
    np.testing.assert_array_equal(differs, noisy)
    assert made.prompt() == pool.prompt()
    assert (made.ids(), made.group_names) == (pool.ids(), pool.group_names)
    np.testing.assert_array_equal(made.group_index(), pool.group_index())
    assert [row["planted"] == "wrong answer" for row in made.origin()] == noisy.tolist()
    if wrong == "shuffled":
        assert [sorted(a.split()) for a in pool.answer()] == [sorted(a.split()) for a in made.answer()]
    else:
        assert set(made.answer()) <= set(pool.answer())


def test_the_seed_decides():
    pool, _, _ = synthetic(200)
    one, two, three = (with_wrong_answers(pool, 0.1, seed=s)[0].fingerprint for s in (1, 1, 2))
    assert one == two != three
    assert with_wrong_answers(pool, 0.0)[0].fingerprint == pool.fingerprint


def test_earlier_turns_stay():
    turns = [{"role": role, "content": f"{role} {i}"} for i in range(2) for role in ("user", "assistant")]
    pool = Pool.from_messages([turns, turns[:2]])
    made, noisy = with_wrong_answers(pool, 1.0)
    assert noisy.all()
    assert next(made.messages()) == [*turns[:3], {"role": "assistant", "content": "assistant 0"}]


def test_answers_that_cannot_be_made_others_are_refused():
    with pytest.raises(PoolError, match="only 0 of 2"):
        with_wrong_answers(chat(["same"] * 4), 0.5)
    with pytest.raises(PoolError, match="only 1 of 2"):
        with_wrong_answers(chat(["yes", "no", "two words", "so so"]), 0.5, wrong="shuffled")
    with pytest.raises(PoolError, match="between 0 and 1"):
        with_wrong_answers(chat(["a", "b"]), 1.5)


@pytest.mark.parametrize("ratio", [1, 7, 100])
def test_groups_fall_from_the_ratio_to_one(ratio: int):
    sizes = [400, 150, 30, 9]
    pool = chat([str(i) for i in range(sum(sizes))], np.repeat(["d", "b", "c", "a"], sizes).tolist())
    skewed = with_skew(pool, ratio, seed=1)
    size = np.bincount(skewed.group_index(), minlength=4)[[skewed.group_names.index(g) for g in "dbca"]]
    assert size[0] == ratio * size[3]
    assert (np.diff(size) <= 0).all()
    step = size[:-1] / size[1:]
    np.testing.assert_allclose(step, ratio ** (1 / 3), rtol=0.25)
    assert set(skewed.ids()) <= set(pool.ids())
    assert len(set(skewed.ids())) == len(skewed) == size.sum()


def test_a_skew_may_keep_the_largest_groups_only():
    pool = chat([str(i) for i in range(240)], ["a"] * 200 + ["b"] * 30 + ["c"] * 10)
    skewed = with_skew(pool, 20, groups=2)
    assert skewed.group_names == ["a", "b"]
    assert np.bincount(skewed.group_index()).tolist() == [200, 10]


def test_a_skew_that_is_not_there_is_refused():
    with pytest.raises(PoolError, match="cannot fall from 100 to 1"):
        with_skew(chat(["x"] * 20, ["a"] * 10 + ["b"] * 10))
    with pytest.raises(PoolError, match="two groups or more"):
        with_skew(chat(["x"] * 20))
