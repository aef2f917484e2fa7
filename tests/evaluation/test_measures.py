"""Scores against slow loops, planted likelihoods and planted answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from thresher.core.pool import Pool
from thresher.data.chat import encode
from thresher.errors import TaskError
from thresher.evaluation import exact_match, held_out, multiple_choice
from thresher.evaluation.measures import evaluate
from thresher.evaluation.outcome import mean_of
from thresher.evaluation.task import Task
from thresher.evaluation.writing import Written
from thresher.models.load import Opened, open_model


@pytest.fixture(scope="module")
def opened(tiny_model: str) -> Opened:
    return open_model(tiny_model, dtype="float32")


def test_held_out_is_the_mean_over_rows_of_a_batch_of_one(opened: Opened, tiny_pool: Pool):
    found = held_out.score(opened, Task(task="t", data="x", measure="held_out"), tiny_pool)
    rows, means = encode(tiny_pool, opened.tokenizer), []
    for i in range(len(rows)):
        ids, trained = (torch.tensor(part) for part in rows.row(i))
        with torch.inference_mode():
            logits = opened.model(input_ids=ids[None].long()).logits[0, :-1].float()
        loss = torch.nn.functional.cross_entropy(logits, ids[1:].long(), reduction="none")
        means.append(float(loss[trained[1:]].mean()))
    assert found.n == 40
    np.testing.assert_allclose(found.values, means, rtol=1e-4)
    assert found.score == pytest.approx(np.mean(means), rel=1e-4)
    assert found.score_se == pytest.approx(np.std(means, ddof=1) / math.sqrt(40), rel=1e-3)


def test_the_plain_format_is_another_measurement(opened: Opened, tiny_pool: Pool):
    chat, plain = (
        held_out.score(opened, Task(task="t", data="x", measure="held_out", format=form), tiny_pool).score
        for form in ("chat", "plain")
    )
    assert chat != plain


def test_a_row_that_does_not_fit_the_window_is_named(opened: Opened, tiny_pool: Pool):
    with pytest.raises(TaskError, match=r"40 rows have no answer within 5 tokens, first \['row-0', 'row-1', 'row-2'\]"):
        held_out.score(opened, Task(task="t", data="x", measure="held_out", max_tokens=5), tiny_pool)


def test_standard_errors_by_hand():
    found = mean_of("t", "exact_match", np.array([1.0, 0.0, 1.0, 1.0]))
    assert found.score == 0.75
    assert found.score_se == pytest.approx(0.25)
    assert mean_of("t", "loss", np.array([2.0])).to_dict()["score_se"] is None


def rows_of(answers: list[str], choices: list[list[str]] | None = None) -> Pool:
    messages = [
        [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": a}] for i, a in enumerate(answers)
    ]
    origin = [{"answer": a, "options": choices[i] if choices else None} for i, a in enumerate(answers)]
    return Pool.from_messages(messages, origin=origin, name="planted")


def test_exact_match_counts_planted_answers(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    written = ["so 4 in all", "the answer is 5.", "no idea", "seven, that is 7"]
    monkeypatch.setattr(exact_match, "write", lambda *_, **__: Written(written))
    task = Task(task="t", data="x", measure="exact_match", extract=r"(\d+)", normalise="number", answer="answer")
    found = exact_match.score(opened, task, rows_of(["4", "6", "0", "7"]))
    assert found.values.tolist() == [1.0, 0.0, 0.0, 1.0]
    assert found.score == 0.5
    assert found.examples[0] == {"written": "so 4 in all", "extracted": "4", "reference": "4"}


def planted(monkeypatch: pytest.MonkeyPatch, tokenizer, cost: dict[str, tuple[float, int]]) -> None:
    """Every choice gets the summed loss and the tokens that are planted for it."""

    def statistics(_, rows, __):
        texts = [tokenizer.decode(ids[trained]) for ids, trained in map(rows.row, range(len(rows)))]
        found = [cost[text.strip()] for text in texts]
        return np.array([f[0] for f in found]), np.array([f[1] for f in found])

    monkeypatch.setattr(multiple_choice, "row_statistics", statistics)


def test_multiple_choice_takes_the_likeliest_whole_or_by_token(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    planted(monkeypatch, opened.tokenizer, {"tin": (3.0, 1), "a bit of lead": (6.0, 4), "gold": (5.0, 1)})
    pool = rows_of(["tin", "a bit of lead"], [["gold", "tin", "a bit of lead"], ["tin", "a bit of lead"]])
    task = Task(task="t", data="x", measure="multiple_choice", choices="options")
    assert multiple_choice.score(opened, task, pool).values.tolist() == [1.0, 0.0]
    by_token = Task(task="t", data="x", measure="multiple_choice", choices="options", metrics="accuracy_token")
    assert multiple_choice.score(opened, by_token, pool).values.tolist() == [0.0, 1.0]


def test_an_answer_that_is_no_choice_and_rows_without_choices(opened: Opened):
    task = Task(task="t", data="x", measure="multiple_choice", choices=("tin", "lead"))
    with pytest.raises(TaskError, match="'gold' of row-0 is none of its choices"):
        multiple_choice.score(opened, task, rows_of(["gold"]))
    with pytest.raises(TaskError, match="row-0 of planted has no list of choices in 'options', but None"):
        multiple_choice.score(
            opened, Task(task="t", data="x", measure="multiple_choice", choices="options"), rows_of(["tin"])
        )


@pytest.mark.parametrize("measure", ["held_out", "exact_match", "multiple_choice"])
def test_every_measure_runs_and_is_on_the_meter(measure: str, tiny_model: str, tiny_pool: Pool):
    more = {"choices": ("yes", "There are 0 apples.")} if measure == "multiple_choice" else {}
    task = Task(task="t", data="x", measure=measure, max_new_tokens=4, **more)
    rows = tiny_pool.slice(0, 4) if measure != "multiple_choice" else rows_of(["yes", "yes"])
    outcome, receipt = evaluate(tiny_model, task, rows)
    assert outcome.metric == task.metric
    assert outcome.n == len(outcome.values) == len(rows)
    assert receipt.flops > 0
    assert receipt.tokens > 0
