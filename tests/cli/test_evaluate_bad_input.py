"""Tasks that cannot be scored: one sentence, exit code 2, nothing on stdout; and what is only warned of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_line import Command, Said, write_jsonl

from thresher.evaluation import writing
from thresher.models.generate import Answer

LONG = "Ann has a key and a boat. " * 900
ROWS = [{"question": f"How many are {i}?", "answer": str(i), "options": ["0", "1", "2"]} for i in range(3)]
CHOICE = {"measure": "multiple_choice", "choices": "options"}
HELD_OUT = {"measure": "held_out", "response": "{answer}", "format": "plain"}

BAD: dict[str, tuple[dict, dict, tuple[str, ...]]] = {  # fields of the task, a further row, words
    "unknown measure": ({"measure": "exact_mach"}, {}, ("task.yaml", "Did you mean 'exact_match'")),
    "unknown metric": (
        {"measure": "summarization", "metrics": ["rouge9"]}, {}, ("task.yaml", "no metric of summarization", "rougeL"),
    ),
    "unknown field": ({"promt": "x"}, {}, ("task.yaml", "no field called 'promt'", "Did you mean 'prompt'")),
    "no answer column": ({"answer": "anser"}, {}, ("rows.jsonl has no column 'anser'; it has question, answer",)),
    "no prompt column": ({"prompt": "{qestion}"}, {}, ("no column 'qestion'", "it has question, answer")),
    "no choices column": ({**CHOICE, "choices": "opts"}, {}, ("no column 'opts'; it has question, answer",)),
    "choices that are no list": (CHOICE, {"answer": "1", "options": "1"}, ("row-4", "no list of choices", "but '1'")),
    "an answer that is no choice": (CHOICE, {"answer": "7", "options": ["1"]}, ("'7' of row-4 is none of",)),
    "no shots file": ({"shots": 1, "shots_from": "no.jsonl"}, {}, ("task keys, shots_from", "no file no.jsonl")),
    "an empty reference": ({}, {"answer": ""}, ("row row-4 of rows.jsonl has no reference answer", "Mend the row")),
    "a prompt beyond the window": ({}, {"question": LONG, "answer": "1"}, ("do not fit", "row-4", "over_window: cut")),
    "an answer beyond the window": (
        {**HELD_OUT, "over_window": "cut"}, {"answer": LONG}, ("longer than the window", "row-4", "Raise max_tokens"),
    ),
    "more new tokens than the window": ({"max_new_tokens": 100_000}, {}, ("do not fit", "Lower max_new_tokens")),
}  # fmt: skip


@pytest.fixture
def evaluate(thresher: Command, tiny_model: str, tmp_path: Path):
    """evaluate({fields of the task}, {a further row}) -> what was said."""

    def run(fields: dict, row: dict, *more: str) -> Said:
        rows = [*ROWS, {**ROWS[0], **row}] if row else ROWS
        write_jsonl(tmp_path / "rows.jsonl", rows)
        task = {"task": "keys", "data": "rows.jsonl", "measure": "exact_match", "prompt": "{question}",
                "answer": "answer", "max_new_tokens": 4}  # fmt: skip
        (tmp_path / "task.yaml").write_text(yaml.safe_dump({**task, **fields}))
        return thresher("evaluate", tiny_model, "--task", tmp_path / "task.yaml", *more)

    return run


@pytest.mark.parametrize("name", BAD)
def test_it_is_refused_in_a_sentence(name: str, evaluate):
    fields, row, words = BAD[name]
    said = evaluate(fields, row)
    assert (said.code, said.out) == (2, ""), said.err
    assert said.err.count("error:") == 1
    for word in words:
        assert word in said.err, f"{word!r} is not in: {said.err}"


def test_a_loss_of_what_fits_is_said(evaluate, caplog: pytest.LogCaptureFixture):
    said = evaluate(HELD_OUT, {"answer": LONG})
    assert said.code == 0, said.err
    assert "1 of 4 answers are longer than the window of 2048 tokens: the loss is of what fits" in caplog.text


def test_an_extraction_that_never_matches_is_warned_with_three_texts(
    evaluate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    said_by_it = [Answer(text, "end", 4) for text in ("none", "a few", "many")]
    monkeypatch.setattr(writing, "answers", lambda *_, **__: said_by_it)
    said = evaluate({"extract": r"#### (\d+)"}, {}, "--json")
    assert said.code == 0, said.err
    note, = json.loads(said.out)[0]["notes"]
    assert "no answer was found in any of 3 texts" in note
    assert "the first: 'none' | 'a few' | 'many'" in note
    assert note in caplog.text


def test_a_model_that_writes_nothing_is_warned(
    evaluate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(writing, "answers", lambda *_, **__: [Answer("", "end", 0)] * 3)
    said = evaluate({}, {})
    assert said.code == 0, said.err
    assert "keys: the model writes nothing: all 3 answers are empty, mostly ended by the end of its turn" in caplog.text
