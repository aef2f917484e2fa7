"""thresher measure --parts-at: shards with a store each; an address with a secret is refused and not repeated."""

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
