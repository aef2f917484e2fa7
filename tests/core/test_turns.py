"""What rows say, read from Arrow, is what their messages say, turn by turn."""

import json

import numpy as np
import pytest

from thresher.core import turns
from thresher.core.pool import SCHEMA, Pool, answer_of, pack, prompt_of, sign_row, text_of

WORDS = ["", " ", "a", "é\n", "x  y", "\x1c", "日本", '"q"\\', "\x7f\u2028\x00\t"]
ROLES = ["system", "user", "assistant", "text", "tool"]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return [
        [
            {"role": str(rng.choice(ROLES)), "content": str(rng.choice(WORDS)), **({} if i % 5 else {"name": "é"})}
            for _ in range(rng.integers(1, 5))
        ]
        for i in range(400)
    ]


@pytest.mark.parametrize("cut", [slice(0, 400), slice(7, 321), slice(3, 3)])
def test_texts_read_from_arrow_are_those_of_the_messages(rows, cut):
    pool = Pool.from_messages(rows).slice(cut.start, cut.stop)
    assert pool.prompt() == [prompt_of(row) for row in pool.messages()]
    assert pool.answer() == [answer_of(row) for row in pool.messages()], "the last answer, or the last turn"
    assert pool.text() == [text_of(row) for row in pool.messages()]


def test_packed_messages_are_stored_as_arrow_itself_would_store_them(rows):
    packed = [[pack(turn) for turn in row] for row in rows]
    column = turns.column_of(packed)
    assert column.type == SCHEMA.field("messages").type
    assert column.to_pylist() == packed
    assert turns.column_of([]).type == column.type


def test_a_row_is_signed_by_its_json_without_blanks(rows):
    for i, row in enumerate(rows[:100]):
        signed = (f"r{i}\"", [pack(turn) for turn in row], None if i % 2 else "grüp")
        plain = json.dumps(signed, ensure_ascii=False, separators=(",", ":"))
        assert sign_row(signed) == plain.encode() + b"\n", "fingerprints, and so the store's keys, would change"


def test_an_answer_that_is_called_sure_holds_words(rows):
    pool = Pool.from_messages(rows)
    said = [
        any(turn["role"] in turns.ANSWERS and turn["content"].strip() for turn in row) for row in pool.messages()
    ]
    sure = pool.answered()
    assert not (sure & ~np.array(said)).any()
    assert sure.any()
    assert not Pool.from_messages([[{"role": "user", "content": "a"}]]).answered().any(), "a question is no answer"
