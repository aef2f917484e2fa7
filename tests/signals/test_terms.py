"""Terms are the same whichever way they are found."""

import re

import numpy as np
import pyarrow as pa
import pytest

from thresher.signals._terms import tokens

LETTERS = [chr(i) for i in range(128)] + list("éÄß日本٣½ \u2028\u00a0\u200b\x85")


@pytest.mark.parametrize("known", [128, len(LETTERS)], ids=["ASCII alone", "other scripts too"])
def test_terms_are_runs_of_letters_or_digits_in_lower_case(known):
    rng = np.random.default_rng(known)
    texts = ["".join(rng.choice(LETTERS[:known], rng.integers(0, 30))) for _ in range(300)] + ["", "--", "É", "a"]
    column = pa.array(texts, pa.large_string())
    wanted = [re.findall(r"[^\W_]+", text.lower()) for text in texts]
    assert tokens(column, "words").to_pylist() == wanted
    assert tokens(column[2:50], "words").to_pylist() == wanted[2:50], "a slice lies somewhere in its buffers"
