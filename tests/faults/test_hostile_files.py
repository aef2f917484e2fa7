"""Strangers' files: none grows without bound, makes objects, takes for ever or leaves its folder."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Happened

from thresher.data.read import load_pool
from thresher.errors import PoolError, RecipeError, TaskError
from thresher.evaluation import answers
from thresher.evaluation.task import Task
from thresher.jobs import _folder_name
from thresher.planning import results
from thresher.spec import Spec
from thresher.training.recipe import Recipe


def test_a_gzip_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Happened):
    path = tmp_path / "bomb.jsonl.gz"
    row = json.dumps({"text": "x" * 5000}).encode() + b"\n"
    path.write_bytes(gzip.compress(row * 2000))
    assert path.stat().st_size < 100_000
    monkeypatch.setenv("THRESHER_MAX_UNPACKED", "1MB")
    with pytest.raises(PoolError, match="--max-unpacked"):
        load_pool(str(path), cache=tmp_path)
    assert not list(tmp_path.glob("pools/*"))
    monkeypatch.setenv("THRESHER_MAX_UNPACKED", "20 MB")
    assert len(load_pool(str(path), cache=tmp_path)) == 2000
    happened("a gzip bomb", "read", "refused at 100 times its size (4 GiB at least); --max-unpacked says otherwise")


def test_a_parquet_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Happened):
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"text": ["x" * 100_000] * 100}), path, use_dictionary=False, compression="zstd")
    monkeypatch.setenv("THRESHER_MAX_UNPACKED", "1MB")
    with pytest.raises(PoolError, match="--max-unpacked"):
        load_pool(str(path), cache=tmp_path)
    happened("a parquet bomb", "read", "refused by what the file says of itself; --max-unpacked says otherwise")


def test_a_size_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("THRESHER_MAX_UNPACKED", "much")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n'))
    with pytest.raises(PoolError, match="'much'"):
        load_pool(str(tmp_path / "a.jsonl.gz"), cache=tmp_path)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

YAML = {
    "a tag that makes objects": ("pool: !!python/object/apply:os.system ['touch ran']\n", "constructor"),
    "billion laughs": (LAUGHS, "aliases"),
    "an alias of itself": ("a: &a [*a]\n", "itself"),
    "100,000 brackets": ("a: " + "[" * 100_000, "deeply|not YAML"),
    "a key twice": ("seeds: [0]\nseeds: [1]\n", "twice"),
    "5 MB": ("a: " + "x" * (5 << 20), "over 4 MB"),
}


@pytest.mark.parametrize("name", YAML)
def test_hostile_yaml(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happened: Happened):
    monkeypatch.chdir(tmp_path)
    text, words = YAML[name]
    path = tmp_path / "x.yaml"
    path.write_text(text)
    for error, read in ((RecipeError, Recipe.read), (RecipeError, Spec.read), (TaskError, Task.read)):
        with pytest.raises(error, match=words) as refused:
            read(path)
        assert len(str(refused.value)) < 2000
    assert not (tmp_path / "ran").exists()
    happened(f"YAML: {name}", "run", "refused in one sentence")


def test_a_pattern_that_takes_for_ever_is_stopped(monkeypatch: pytest.MonkeyPatch, happened: Happened):
    monkeypatch.setattr(answers, "SECONDS", 0.2)
    with pytest.raises(TaskError, match="for ever"):
        answers.extracted("a" * 60 + "!", [r"((?:a|aa|aaa)+)$"], "last")
    assert answers.extracted("the answer is 42", [r"(\d+)"], "last") == "42"
    happened("a regular expression with catastrophic backtracking", "evaluate", "stopped after 5 s a text, and said")


FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1", "'=already", "plain", "'plain"]


def test_formulas_do_not_run_in_spreadsheets(tmp_path: Path, happened: Happened):
    rows = [
        {"method": name, "model": "m", "task": "t", "metric": "loss", "score": -1.5, "selection_flops": 0.0,
         "training_flops": 1.0, "rows": 3}
        for name in FORMULAS
    ]  # fmt: skip
    results.write(rows, tmp_path)
    with (tmp_path / "results.csv").open(newline="") as file:
        cells = [line["method"] for line in csv.DictReader(file)]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r"]
    assert [run.method for run in results.read(tmp_path / "results.csv").runs] == [name.strip() for name in FORMULAS]
    happened("formulas in names", "run", "results.csv puts an apostrophe before them, and reads it away again")


@pytest.mark.parametrize("label", ["../../etc/passwd", "a/b\\c", "..", "x\0y", "CON: <>|*?\n"])
def test_names_do_not_leave_their_folder(label: str, tmp_path: Path, happened: Happened):
    name = _folder_name(label, "", "5 rows", 0)
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert name not in (".", "..")
    happened("path traversal in labels", "run", "folders are called by letters, digits and underscores only")
