"""--parts-at: shards with a store each, a run; a wrong address, or one with a secret, is refused before any work."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from command_line import Command, alpaca, write_jsonl

from thresher import pipeline


def test_shards_with_a_store_each_are_joined_in_a_third(
    thresher: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for function in (pipeline.measure, pipeline.measure_shard):
        monkeypatch.setitem(inspect.unwrap(function).__kwdefaults__, "part_size", 7)
    pool, at = write_jsonl(tmp_path / "pool.jsonl", alpaca(40)), f"file://{tmp_path}/bucket"
    bm25 = ("measure", "bm25", pool, "--target", write_jsonl(tmp_path / "target.jsonl", alpaca(5, 40)), "--json")
    whole = thresher(*bm25, "--store", tmp_path / "whole").document

    def on(machine: str, *more: str) -> object:
        return thresher(*bm25, "--store", tmp_path / machine, "--parts-at", at, *more)

    assert on("first", "--shard", "2/2").document["parts"] == 3
    missing = on("joins", "--join")
    assert missing.code == 2
    assert "3 parts are not measured yet (numbers 0, 2, 4)" in missing.err
    assert on("second", "--shard", "1/2").document["parts"] == 3
    joined = on("joins", "--join").document
    assert Path(joined["folder"]).parent == tmp_path / "joins"
    assert Path(joined["folder"], "values.npy").read_bytes() == Path(whole["folder"], "values.npy").read_bytes()
    assert on("third", "--shard", "1/2").document["finished_before"]


def test_an_address_with_a_secret_is_refused(thresher: Command, tmp_path: Path):
    pool = write_jsonl(tmp_path / "pool.jsonl", alpaca(4))
    answer = thresher("measure", "length", pool, "--parts-at", "s3://key:hunter2@bucket/x")
    assert answer.code == 2
    assert "name s3://bucket/x" in answer.err
    assert "hunter2" not in answer.err


RUN = """
pool: pool.jsonl
model: scratch:50k
methods: [longest]
budgets: [5 rows]
seeds: [0]
recipe: {learning_rate: 1e-3, batch_size: 4, micro_batch: 4, max_tokens: 64}
tasks: [{task: keys, data: target.jsonl, measure: held_out}]
"""


@pytest.fixture
def recipe(pool_file: Path, target_file: Path, tmp_path: Path) -> Path:
    (tmp_path / "run.yaml").write_text(RUN)
    return tmp_path / "run.yaml"


@pytest.mark.slow
def test_a_run_leaves_what_it_measured_at_the_address(thresher: Command, recipe: Path, tmp_path: Path):
    where = ("--store", tmp_path / "store", "--parts-at", f"file://{tmp_path}/bucket")
    said = thresher("run", recipe, "--out", tmp_path / "out", *where)
    assert said.code == 0, said.err
    assert list(tmp_path.glob("bucket/files/length-*.files.json"))


def test_a_run_at_a_wrong_address_does_nothing(thresher: Command, recipe: Path, tmp_path: Path):
    said = thresher("run", recipe, "--out", tmp_path / "out", "--store", tmp_path / "new", "--parts-at", "nowhere://x")
    assert said.code == 2
    assert "nowhere://x cannot be read" in said.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "new").exists()
