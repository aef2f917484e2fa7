"""Every row once, within the budget, nearly nothing on padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.models.batching import batches, padded


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 600))
@settings(max_examples=60, deadline=None)
def test_every_row_is_in_one_batch_and_no_batch_is_over_budget(lengths: list[int], budget: int):
    found = list(batches(np.array(lengths, np.int64), budget))
    assert sorted(int(i) for rows in found for i in rows) == list(range(len(lengths)))
    for rows in found:
        assert len(rows) == 1 or len(rows) * max(lengths[i] for i in rows) <= budget


def test_little_is_spent_on_padding():
    lengths = np.random.default_rng(0).integers(16, 1024, 2000)
    run = sum(len(rows) * int(lengths[rows].max()) for rows in batches(lengths, 4096))
    assert lengths.sum() / run > 0.97


def test_rows_are_filled_up_on_the_right():
    ids, starts = np.array([1, 2, 3, 4, 5], np.int32), np.array([0, 3, 5])
    assert padded(ids, starts, np.array([1, 0]), 9).tolist() == [[4, 5, 9], [1, 2, 3]]
