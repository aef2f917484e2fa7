"""Our scores against lm-evaluation-harness's, row by row: the same tiny model, rows, prompts and extraction."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from thresher.data.read import load_pool
from thresher.errors import NonFinite, TaskError
from thresher.evaluation.measures import evaluate
from thresher.evaluation.task import Task
from thresher.evaluation.template import asked
from thresher.evaluation.writing import write
from thresher.models.load import open_model

pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm_eval is not installed"),
]
WORD = r"(\w+)"
WRITTEN = Task(
    task="sums", data="x", measure="exact_match", prompt="Question: {question}\nAnswer:", answer="answer",
    format="plain", separator=" ", extract=(WORD,), take="first", normalise="none", stop=("Question:", "e"),
    max_new_tokens=12,
)  # fmt: skip
CHOSEN = Task(
    task="chosen", data="x", measure="multiple_choice", metrics=("accuracy", "accuracy_character"), choices="choices",
    prompt="Question: {question}\nAnswer:", answer="gold", answer_is="index", format="plain", separator=" ",
)  # fmt: skip


def lines() -> list[dict]:
    words = ["apples", "boats", "birds over the sea", "keys"]
    return [
        {"question": f"Ann has {i} {words[i % 4]} and finds {i % 7} more.", "answer": "?", "gold": i % 3,
         "choices": [f"There are {i + i % 7}.", words[i % 4], f"{words[(i + 1) % 4]} and {i} more keys"]}
        for i in range(12)
    ]  # fmt: skip


def harness_task(folder: Path, name: str, rows: Path, **more: object) -> None:
    common = {
        "task": name, "dataset_path": "json", "test_split": "test", "doc_to_text": "Question: {{question}}\nAnswer:",
        "dataset_kwargs": {"data_files": {"test": str(rows)}, "cache_dir": str(folder / "cache")},
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**common, **more}))


@pytest.fixture
def wordy(tiny_model: str, tmp_path: Path) -> str:
    """The tiny model with louder layers: it writes something else for nearly every prompt, and sometimes an "e"."""
    opened = open_model(tiny_model, dtype="float32")
    with torch.no_grad():
        for name, weight in opened.model.named_parameters():
            weight.mul_(4 if "proj" in name else 1)
    opened.model.save_pretrained(tmp_path / "wordy")
    opened.tokenizer.save_pretrained(tmp_path / "wordy")
    return str(tmp_path / "wordy")


@pytest.fixture
def rows(wordy: str, tmp_path: Path) -> Path:
    """Twelve rows; the answer of every other one is what the model writes, so that half are right."""
    path, found = tmp_path / "rows.jsonl", lines()
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    pool = load_pool(str(path), cache=tmp_path / "pools", format=WRITTEN.reading)
    opened = open_model(wordy, dtype="float32")
    said = write(opened, WRITTEN, asked(WRITTEN, pool, None)).texts
    assert len(set(said)) > 3
    for i, row in enumerate(found):
        row["answer"] = (WRITTEN.extracted(said[i]) or "nothing") if i % 2 else "something else"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return path


def test_written_answers_and_choices_are_scored_alike(wordy: str, rows: Path, tmp_path: Path):
    from thresher.evaluation import harness

    folder = tmp_path / "tasks"
    folder.mkdir()
    harness_task(
        folder, "sums", rows, output_type="generate_until", doc_to_target="{{answer}}",
        generation_kwargs={"until": ["Question:", "e"], "do_sample": False, "max_gen_toks": 12},
        filter_list=[{"name": "word", "filter": [{"function": "regex", "regex_pattern": WORD},
                                                 {"function": "take_first"}]}],
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    )  # fmt: skip
    harness_task(
        folder, "chosen", rows, output_type="multiple_choice", doc_to_target="gold", doc_to_choice="{{choices}}",
        metric_list=[{"metric": one, "aggregation": "mean", "higher_is_better": True} for one in ("acc", "acc_norm")],
    )  # fmt: skip
    opened = open_model(wordy, dtype="float32")
    found, receipt = harness.run(opened, ["sums", "chosen"], folder=folder)
    theirs = {(one.task, one.metric): one for one in found}
    assert receipt.flops > 0
    ours = {}
    for task in (WRITTEN, CHOSEN):
        pool = load_pool(str(rows), cache=tmp_path / "pools", format=task.reading)
        outcome, _ = evaluate(wordy, replace(task, data=str(rows)), pool, dtype="float32")
        ours |= {(one.task, one.metric): one for one in outcome.all()}
    pairs = {
        ("sums", "exact_match"): ("sums", "exact_match/word"),
        ("chosen", "accuracy"): ("chosen", "acc"),
        ("chosen", "accuracy_character"): ("chosen", "acc_norm"),
    }
    for mine, other in pairs.items():
        np.testing.assert_array_equal(ours[mine].values, theirs[other].values, err_msg=str(mine))
        assert ours[mine].score == pytest.approx(theirs[other].score)
        assert ours[mine].score_se == pytest.approx(theirs[other].score_se, nan_ok=True)
        assert ours[mine].n == theirs[other].n == 12
    assert 0 < ours["sums", "exact_match"].score < 1, "both kinds of rows were there"
    with pytest.raises(TaskError, match="has no task 'sumss'"):
        harness.run(opened, ["sumss"], folder=folder)
    with torch.no_grad():
        opened.model.base_model.norm.weight.fill_(float("nan"))
    for name in ("sums", "chosen"):
        with pytest.raises(NonFinite, match="predictions are not numbers"):
            harness.run(opened, [name], folder=folder)
