"""thresher measure in shards: separate processes, one store, the same bytes as one process alone."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Command, alpaca, write_jsonl

from thresher import pipeline

PART = 7
PROGRAM = (
    "import sys\n"
    "from thresher import pipeline\n"
    f"pipeline.measure.__kwdefaults__['part_size'] = {PART}\n"
    f"pipeline.measure_shard.__kwdefaults__['part_size'] = {PART}\n"
    "from thresher.cli import main\n"
    "main(sys.argv[1:])\n"
)
LESS = (
    "--set",
    "share=0.3",
    "--set",
    "lora=4",
    "--set",
    "batch_size=8",
    "--set",
    "warmup.epochs=2",
    "--set",
    "tuning.rows=20",
)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "target.jsonl", alpaca(5, 40))
    return write_jsonl(tmp_path / "pool.jsonl", alpaca(40))


def values(folder: str) -> bytes:
    return (Path(folder) / "values.npy").read_bytes()


def test_shards_are_joined_and_a_missing_one_is_said(
    thresher: Command, pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for function in (pipeline.measure, pipeline.measure_shard):
        monkeypatch.setitem(inspect.unwrap(function).__kwdefaults__, "part_size", PART)
    length = ("measure", "length", pool, "--model", "scratch:50k", "--json")
    whole = thresher(*length, "--store", tmp_path / "whole").document
    shards = (*length, "--store", tmp_path / "shards")
    assert thresher(*shards, "--shard", "2/2").document == {
        "signal": "length", "shard": "2/2", "parts": 3, "finished_before": False,
    }  # fmt: skip
    missing = thresher(*shards, "--join")
    assert missing.code == 2
    assert "3 parts are not measured yet (numbers 0, 2, 4)" in missing.err
    assert thresher(*shards, "--shard", "1/2").document["parts"] == 3
    joined = thresher(*shards, "--join").document
    assert values(joined["folder"]) == values(whole["folder"])
    assert thresher(*shards, "--shard", "1/2").document["finished_before"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shard", "3/2"], "--shard '3/2' is not I/N with I from 1 to N"),
        (["--shard", "half"], "--shard 'half' is not I/N"),
        (["--shard", "1/2", "--join"], "one after the other, not both"),
    ],
)
def test_a_shard_that_cannot_be(thresher: Command, pool: Path, arguments: list[str], said: str):
    answer = thresher("measure", "length", pool, "--model", "scratch:50k", *arguments)
    assert answer.code == 2
    assert said in answer.err


@pytest.mark.slow
def test_less_in_two_processes_leaves_the_bytes_of_one(pool: Path, tmp_path: Path):
    def start(store: str, *more: str) -> subprocess.Popen:
        line = ("measure", "less", str(pool), "--target", str(pool.parent / "target.jsonl"), "--model", "scratch:50k")
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *line, *LESS, *more, "--store", str(tmp_path / store), "--json"],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def answer(process: subprocess.Popen) -> dict:
        out, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        return json.loads(out)

    both = [start("shards", "--shard", f"{i}/2") for i in (1, 2)]
    assert sorted(answer(process)["parts"] for process in both) == [3, 3]
    joined = answer(start("shards", "--join"))
    assert values(joined["folder"]) == values(answer(start("whole"))["folder"])
    assert joined["flops"] > 0
