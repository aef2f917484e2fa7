"""Counting tokens part by part is encoding without the tokens."""

import numpy as np
import pytest

from thresher.core.pool import Pool
from thresher.data import chat
from thresher.errors import RowError
from thresher.models import load


@pytest.mark.parametrize("window", [2048, 24])
def test_the_numbers_are_those_of_encoding(
    window: int, tiny_pool: Pool, tiny_model: str, monkeypatch: pytest.MonkeyPatch
):
    whole = load.encoded(tiny_model, tiny_pool, window)
    monkeypatch.setattr(chat, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(load, "KEPT_ROWS", 39)
    found = load.counted(tiny_model, tiny_pool, window)
    assert isinstance(found, chat.Counted)
    assert found.template == whole.template
    np.testing.assert_array_equal(found.lengths(), whole.lengths())
    np.testing.assert_array_equal(found.answer_tokens(), whole.answer_tokens())
    np.testing.assert_array_equal(found.cut, whole.cut)
    assert window == 2048 or found.cut.any(), "otherwise nothing was cut"
    assert load.counted(tiny_model, tiny_pool, window) is found


def test_a_bad_row_has_its_number_in_the_whole_pool(tiny_model: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chat, "ROWS_AT_ONCE", 2)
    good = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    pool = Pool.from_messages([good] * 11 + [[good[0], {"role": "text", "content": "x"}]] + [good])
    with pytest.raises(RowError) as at:
        chat.count(pool, load.open_tokenizer(tiny_model))
    assert at.value.line == 12
