"""Bands collide as often as the theory says, and only by what the texts hold."""

import numpy as np
import pytest

from thresher.data import minhash
from thresher.data.duplicates import shingles


def pairs(changed: int, n: int = 300, words: int = 200) -> tuple[list[str], list[str], float]:
    """n texts, the same with some words at their end replaced, and the mean Jaccard similarity."""
    rng = np.random.default_rng(changed)
    left = [[f"w{i}" for i in row] for row in rng.integers(100_000, size=(n, words))]
    right = [[*row[: words - changed], *(f"x{i}" for i in rng.integers(100_000, size=changed))] for row in left]
    a, b = ([" ".join(row) for row in side] for side in (left, right))
    alike = [len(shingles(x) & shingles(y)) / len(shingles(x) | shingles(y)) for x, y in zip(a, b, strict=True)]
    return a, b, float(np.mean(alike))


@pytest.mark.parametrize("changed", [4, 20, 60, 120])
def test_a_band_is_shared_as_often_as_the_similarity_says(changed: int):
    a, b, similarity = pairs(changed)
    shared = (minhash.bands(a) == minhash.bands(b)).any(axis=1).mean()
    expected = 1 - (1 - similarity**minhash.BAND_SIZE) ** minhash.BANDS
    assert abs(shared - expected) <= 4 * np.sqrt(expected * (1 - expected) / len(a)) + 0.01


def test_a_text_has_its_bands_whatever_stands_around_it():
    a, _, _ = pairs(4, n=3 * minhash.ROWS // 2)
    texts = [*a, "", "one", "one two", "one two three", "é ∂ 雪"]
    together = minhash.bands(texts)
    for i in (0, 5, minhash.ROWS - 1, minhash.ROWS, len(texts) - 5, len(texts) - 2, len(texts) - 1):
        np.testing.assert_array_equal(minhash.bands([texts[i]])[0], together[i])
    assert len(np.unique(together[:, 0])) == len(texts), "different texts share a band by chance only"
