"""Task files: how an answer is found in a text, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation.task import Task

GSM = Task(task="gsm", data="x", measure="exact_match", extract=r"(-?\$?[\d,]*\.?\d+)", normalise="number")
LETTER = Task(task="abc", data="x", measure="exact_match", extract=r"answer is \(?([A-D])\)?", normalise="letter")
PLAIN = Task(task="plain", data="x", measure="exact_match")


@pytest.mark.parametrize(
    ("task", "written", "reference", "same"),
    [
        (GSM, "3 boxes of 4 are 12. The answer is 12", "#### 12", True),
        (GSM, "So she pays $1,200.00", "1200", True),
        (GSM, "The answer is 12.", "12", True),
        (GSM, "It is 12, and no more than 13", "12", False),
        (GSM, "-4", "4", False),
        (GSM, "0.50", ".5", True),
        (GSM, "I cannot say", "7", False),
        (GSM, "", "7", False),
        (LETTER, "Well, the answer is (B).", "the answer is B", True),
        (LETTER, "the answer is A, or rather the answer is C", "the answer is C", True),
        (LETTER, "B", "the answer is B", False),
        (PLAIN, "  Tin \n", "tin", True),
        (PLAIN, "tin and lead", "tin", False),
    ],
)
def test_the_last_match_is_the_answer_and_dress_does_not_count(task: Task, written: str, reference: str, same: bool):
    given, right = task.comparable(task.extracted(written)), task.comparable(task.extracted(reference))
    assert right
    assert (given == right and given != "") == same


def test_the_draw_of_a_limit_is_seeded_and_keeps_the_order(tiny_pool: Pool):
    some = Task(task="t", data="x", measure="held_out", limit=10)
    ids = some.rows(tiny_pool).ids()
    assert len(ids) == 10
    assert ids == some.rows(tiny_pool).ids()
    places = [int(name.split("-")[1]) for name in ids]
    assert places == sorted(places)
    other = Task(task="t", data="x", measure="held_out", limit=10, seed=1)
    assert other.rows(tiny_pool).ids() != ids


BAD = {
    "task: t\ndata: x\nmeasure: exact_mach\n": "Did you mean 'exact_match'",
    "task: t\ndata: x\n": "'measure' is missing",
    "task: t\ndata: x\nmeasure: held_out\nlimitt: 3\n": "Did you mean 'limit'",
    "task: t\ndata: x\nmeasure: exact_match\nextract: '(('\n": "not a regular expression",
    "task: t\ndata: x\nmeasure: exact_match\nextract: '[0-9]+'\n": "one group in brackets",
    "task: t\ndata: x\nmeasure: multiple_choice\n": "needs `choices`",
    "task: t\ndata: x\nmeasure: summarization\nmetrics: rouge3\n": "Did you mean 'rouge",
    "task: t\ndata: x\nmeasure: summarization\nmetrics: bert_score\n": "needs `encoder`",
    "task: t\ndata: x\nmeasure: exact_match\nnormalise: [case, spacse]\n": "Did you mean 'spaces'",
    "task: t\ndata: x\nmeasure: exact_match\nprompt: 'Q: {question'\n": "is no template",
    "task: t\ndata: x\nmeasure: exact_match\nprompt: '{a.b}'\n": "not a column's name",
    "task: t\ndata: x\nmeasure: exact_match\nshots: 2\n": "needs `shots_from`",
    "task: t\ndata: x\nmeasure: exact_match\nsamples: 2\n": "set a temperature",
    "task: t\ndata: x\nmeasure: exact_match\nmax_new_tokens: many\n": "a whole number from 1 on",
    "task: t\ndata: x\nmeasure: exact_match\nstop: ['']\n": "an empty stop string",
    "task: t\ndata: x\nmeasure: exact_match\naverage: groups\n": "need `groups`",
    "task: t\ndata: x\nmeasure: held_out\nmetrics: perplexity\naverage: groups\ngroups: g\n": "no mean over groups",
    "task: t\ndata: x\nmeasure: exact_match\nformat: chatt\n": "Did you mean 'chat'",
    "like: gsm9k\n": "Did you mean 'gsm8k'",
    "- a\n": "mapping",
    "a: [": "not YAML",
}


@pytest.mark.parametrize("text", BAD)
def test_a_task_that_cannot_be_says_why(text: str, tmp_path: Path):
    (tmp_path / "task.yaml").write_text(text)
    with pytest.raises(TaskError) as said:
        Task.read(tmp_path / "task.yaml")
    assert BAD[text] in str(said.value)


def test_data_beside_the_task_file_is_found(tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text("{}")
    (tmp_path / "task.yaml").write_text("task: t\ndata: rows.jsonl\nmeasure: held_out\n")
    assert Task.read(tmp_path / "task.yaml").data == str(tmp_path / "rows.jsonl")


def test_a_row_without_a_reference_is_named(tiny_pool: Pool):
    with pytest.raises(TaskError, match=r"40 rows \(row-0, row-1, row-2\) of tiny have no reference answer"):
        Task(task="t", data="x", measure="exact_match", extract="#### (.+)").references(tiny_pool)
    with pytest.raises(TaskError, match="no column 'anwser'"):
        Task(task="t", data="x", measure="exact_match", answer="anwser").references(tiny_pool)


def test_a_task_like_another_takes_the_rest_from_it(tmp_path: Path):
    (tmp_path / "gsm8k.test.jsonl.gz").write_bytes(b"")
    (tmp_path / "mine.yaml").write_text("like: gsm8k\ntask: mine\nlimit: 5\n")
    (tmp_path / "mine_loss.yaml").write_text("like: mine.yaml\nmeasure: held_out\ndata: .\n")
    mine = Task.read(tmp_path / "mine.yaml")
    assert (mine.task, mine.limit, mine.normalise) == ("mine", 5, ("number",))
    loss = Task.read(tmp_path / "mine_loss.yaml")
    assert (loss.task, loss.named, loss.limit) == ("mine", ("loss",), 5)
    assert loss.data == str(tmp_path / "gsm8k.test.jsonl.gz")
