"""What a model is asked: templates, shots in both forms, and the window."""

from __future__ import annotations

import numpy as np
import pytest

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import prompts
from thresher.evaluation.held_out import encoded
from thresher.evaluation.task import Task
from thresher.evaluation.template import asked
from thresher.models.load import Opened, open_model


@pytest.fixture(scope="module")
def opened(tiny_model: str) -> Opened:
    return open_model(tiny_model, dtype="float32")


def pool_of(n: int, name: str = "rows") -> Pool:
    origin = [{"question": f"{name} {i}?", "right": f"{i}", "kind": "ab"[i % 2]} for i in range(n)]
    empty = [[{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]] * n
    return Pool.from_messages(empty, origin=origin, name=name)


TASK = Task(
    task="t", data="x", measure="exact_match", prompt="Q: {question}\nA:", answer="right", format="plain",
    separator=" ", shots=2, shots_from="y", shots_of="group", groups="kind",
)  # fmt: skip


def test_columns_and_shots_of_the_rows_own_group_in_words(opened: Opened):
    rows = asked(TASK, pool_of(3), pool_of(8, "shown"))
    assert rows.table["group"].to_pylist() == ["a", "b", "a"]
    text = prompts.plain_text(TASK, next(rows.messages())[:-1])
    assert text == "Q: shown 0?\nA: 0\n\nQ: shown 2?\nA: 2\n\nQ: rows 0?\nA: "
    assert opened.tokenizer.decode(prompts.of_rows(TASK, rows, opened.tokenizer)[0]).endswith("Q: rows 0?\nA:")
    assert rows.answer() == ["0", "1", "2"]


def test_shots_are_turns_of_the_chat(opened: Opened):
    from dataclasses import replace

    chat = replace(TASK, format="chat")
    rows = asked(chat, pool_of(2), pool_of(8, "shown"))
    assert [m["role"] for m in next(rows.messages())] == ["user", "assistant"] * 3
    text = opened.tokenizer.decode(prompts.of_rows(chat, rows, opened.tokenizer)[0])
    assert text.index("shown 0?") < text.index("shown 2?") < text.index("rows 0?")
    whole = prompts.with_answers(chat, rows, opened.tokenizer)
    ids, counted = whole.row(1)
    assert opened.tokenizer.decode(ids[counted]).startswith("1")
    assert "3" not in opened.tokenizer.decode(ids[counted])


def test_shots_are_never_the_row_that_is_asked_and_must_be_there():
    same = pool_of(8)
    found = asked(TASK, same.take([0]), same)
    assert "rows 0?" not in "".join(m["content"] for m in next(found.messages())[:-2])
    with pytest.raises(TaskError, match=r"2 shots, but shown has 1 of the group 'a'"):
        asked(TASK, pool_of(1), pool_of(2, "shown"))
    with pytest.raises(TaskError, match="row row-0 has no column 'story'"):
        asked(Task(task="t", data="x", measure="held_out", prompt="{story}"), pool_of(1), None)


def test_random_shots_are_seeded():
    from dataclasses import replace

    def first(seed: int) -> list:
        task = replace(TASK, shots_drawn="random", seed=seed)
        return next(asked(task, pool_of(1), pool_of(40, "shown")).messages())

    assert first(0) == first(0)
    assert first(0) != first(1)


def test_a_prompt_that_leaves_no_room(opened: Opened):
    from dataclasses import replace

    rows = asked(TASK, pool_of(2), pool_of(8, "shown"))
    whole = prompts.followed(TASK, prompts.heads(TASK, rows), ["1", "22"], opened.tokenizer)
    n = int(whole.lengths().max())
    with pytest.raises(TaskError, match=r"no room for their answer within \d+ tokens, first \['row-0', 'row-1'\]"):
        prompts.fitted(TASK, whole, rows, 8, np.arange(2))
    cut, notes = prompts.fitted(replace(TASK, over_window="cut"), whole, rows, 8, np.arange(2))
    assert cut.lengths().tolist() == [8, 8]
    assert cut.answer_tokens().tolist() == whole.answer_tokens().tolist()
    assert notes == ["2 rows lost the beginning of their prompt to the window of 8 tokens"]
    assert prompts.fitted(TASK, whole, rows, n, np.arange(2)) == (whole, [])


def test_an_answer_longer_than_the_window_is_said(opened: Opened, tiny_pool: Pool):
    whole = prompts.with_answers(Task(task="t", data="x", measure="held_out"), tiny_pool, opened.tokenizer)
    long = int(whole.lengths().max())
    rows, notes = encoded(opened, Task(task="t", data="x", measure="held_out", max_tokens=long - 1), tiny_pool)
    assert rows.lengths().max() == long - 1
    assert "answers are longer than the window" in notes[0]
