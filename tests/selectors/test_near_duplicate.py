"""Near-copies: which of them stay, in both readings of the same number."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.selectors import near_duplicate
from thresher.selectors.near_duplicate import NearDuplicate


def chosen(score: np.ndarray, feature: np.ndarray, budget: float | None = None, **fields: object) -> list[int]:
    n = len(score)
    price, rng = np.ones(n), np.random.default_rng(0)
    subset = NearDuplicate(**fields).choose(score, feature, price=price, budget=float(budget or n), rng=rng)
    return subset.index.tolist()


def cloud(n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.normal(size=(n, 4)).astype(np.float32)


@pytest.mark.parametrize("tau", [0.3, 0.7, 0.9])
def test_the_rows_kept_are_those_of_the_walk(tau: float):
    score, feature = cloud()
    cosine = feature / np.linalg.norm(feature, axis=1, keepdims=True)
    cosine = cosine @ cosine.T
    kept: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        if not kept or cosine[i, kept].max() <= tau:
            kept.append(int(i))
    assert chosen(score, feature, tau=tau) == kept
    apart = cosine[np.ix_(kept, kept)] - 2 * np.eye(len(kept))
    assert apart.max() <= tau + 1e-6, "no kept pair above tau"


def test_the_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    score, feature = cloud(seed=3)
    for reading in ("kept", "pool"):
        whole = chosen(score, feature, tau=0.5, reading=reading)
        for block in (1, 7, 64):
            monkeypatch.setattr(near_duplicate, "BLOCK", block)
            assert chosen(score, feature, tau=0.5, reading=reading) == whole


def test_tau_one_keeps_every_row_and_below_it_copies_are_kept_once():
    score = np.arange(60.0)
    feature = np.repeat(np.random.default_rng(0).normal(size=(20, 5)), 3, axis=0)
    assert len(chosen(score, feature, tau=1.0)) == 60
    once = chosen(score, feature, tau=0.9999)
    assert sorted(i // 3 for i in once) == list(range(20))
    assert all(i % 3 == 2 for i in once), "the best-scored copy stays"
    assert all(i % 3 == 0 for i in chosen(score, feature, tau=0.9999, highest=False))


def test_the_other_reading_drops_both_copies():
    score, feature = np.array([4.0, 3.0, 2.0, 1.0]), np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert chosen(score, feature, tau=0.9) == [0, 2, 3]
    assert chosen(score, feature, tau=0.9, reading="pool") == [2, 3]


def test_it_says_that_it_spends_less():
    score, feature = np.arange(5.0), np.ones((5, 2))
    subset = NearDuplicate().choose(score, feature, price=np.ones(5), budget=3.0, rng=np.random.default_rng(0))
    assert subset.index.tolist() == [4]
    assert "unspent" in subset.notes[-1]
    small = NearDuplicate().choose(score, feature, price=np.ones(5), budget=1.0, rng=np.random.default_rng(0))
    assert not small.notes


def test_empty_texts_are_copies_of_each_other():
    feature = np.concatenate([np.zeros((3, 2)), np.eye(2)])
    subset = NearDuplicate().choose(np.arange(5.0), feature, price=np.ones(5), budget=5.0, rng=np.random.default_rng(0))
    assert subset.index.tolist() == [4, 3, 2]
    assert subset.notes[0].startswith("3 rows")
