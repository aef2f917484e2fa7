"""thresher plan: an answer without any history, and one sentence for every bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Command

HEAD = "method,model,task,metric,score,selection_flops,training_flops,fraction\n"


def plan(thresher: Command, pool: Path, target: Path, model: str, *more: object):
    usual = ("--methods", "random,bm25,ppl-mid", "--hardware", "a100-80gb")
    return thresher("plan", pool, "--target", target, "--model", model, *usual, *more)


def test_it_works_without_any_history(thresher: Command, pool_file: Path, target_file: Path, tiny_model: str):
    said = plan(thresher, pool_file, target_file, tiny_model, "--budget", "50%", "--budget", "1 gpu-hour", "--json")
    assert said.code == 0, said.err
    first, second = said.document["plans"]
    assert first["recommendation"]["method"] in ("random", "bm25", "ppl-mid")
    assert first["recommendation"]["rows"] <= 15
    assert second["recommendation"]["answer"] == "train on all"
    assert len(first["would_change"]) == 3
    assert {line["method"] for line in first["candidates"]} == {"random", "bm25", "ppl-mid", "full"}
    assert said.document["reason"] == first["reason"]


def test_the_table_names_the_answer_and_what_would_change_it(
    thresher: Command, pool_file: Path, target_file: Path, tiny_model: str
):
    said = plan(thresher, pool_file, target_file, tiny_model, "--budget", "50%")
    assert said.code == 0, said.err
    assert "the highest expected score that 15 rows pays for" in said.out
    assert "note: published results" in said.out


@pytest.mark.parametrize(("table", "says"), [
    ("method,score\nrandom,1\n", "lacks the columns model, task, metric"),
    (HEAD + "random,m,t,acc,forty,0,1e12,0.1\n", "score is 'forty', which is not a number"),
    (HEAD + "random,m,t,acc,40,0,1e12 FLOPs,0.1\n", "training_flops is '1e12 FLOPs', which is not a number"),
    (HEAD + "random,m,t,acc,40,0,1e12,10\n", "it is a share"),
])  # fmt: skip
def test_a_history_that_cannot_be_read(
    thresher: Command, pool_file: Path, target_file: Path, tiny_model: str, tmp_path: Path, table: str, says: str
):
    path = tmp_path / "results.csv"
    path.write_text(table)
    said = plan(thresher, pool_file, target_file, tiny_model, "--budget", "50%", "--history", path)
    assert said.code == 2
    assert says in said.err


@pytest.mark.parametrize(("more", "says"), [
    (("--budget", "10 flops"), "below the cheapest candidate"),
    (("--budget", "a lot"), "cannot read the budget"),
    (("--budget", "50%", "--hardware", "abacus"), "no hardware called 'abacus'"),
    (("--budget", "50%", "--methods", "nonsense"), "no method called 'nonsense'"),
    (("--budget", "50%", "--pilot", "10%"), "pays for training rows only"),
    (("--budget", "50%", "--pilot", "some"), "is no share of the budget"),
    (("--pilot", "10%"), "name one with --budget"),
])  # fmt: skip
def test_bad_questions(
    thresher: Command, pool_file: Path, target_file: Path, tiny_model: str, more: tuple[str, ...], says: str
):
    said = plan(thresher, pool_file, target_file, tiny_model, *more)
    assert said.code == 2
    assert says in said.err
