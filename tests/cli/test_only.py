"""--only chooses among some groups' rows."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import Command, write_jsonl

ROWS = [
    {"prompt": f"What is {i} plus one?", "response": f"{i + 1}", "source": ("adding", "talk", "code")[i % 3]}
    for i in range(30)
]


def test_only_rows_of_the_groups_named_are_chosen_and_a_replay_knows_it(thresher: Command, tmp_path: Path):
    pool, out = write_jsonl(tmp_path / "pool.jsonl", ROWS), tmp_path / "out"
    said = thresher(
        "select", "random", pool, "--only", "code", "--only", "adding", "--budget", "100%", "--out", out, "--json"
    )
    assert said.code == 0, said.err
    assert said.document["pool"]["rows"] == 20
    chosen = [json.loads(line) for line in (out / "selected.jsonl").read_text().splitlines()]
    assert {row["source"] for row in chosen} == {"adding", "code"}
    again = thresher("replay", out / "card.json", "--out", tmp_path / "again", "--json")
    assert again.code == 0, again.err


def test_a_group_that_is_not_there_is_named_with_those_that_are(thresher: Command, tmp_path: Path):
    pool = write_jsonl(tmp_path / "pool.jsonl", ROWS)
    said = thresher("select", "random", pool, "--only", "codes", "--budget", "5 rows", "--out", tmp_path / "out")
    assert said.code == 2
    for words in ("'codes'", "'code'", "adding, code, talk"):
        assert words in said.err


@pytest.mark.parametrize("method", ["random:balanced", "got-d:hash"])
def test_scores_keep_the_pools_groups_whatever_a_method_numbers_rows_by(
    thresher: Command, tmp_path: Path, method: str
):
    pool, out = write_jsonl(tmp_path / "pool.jsonl", ROWS), tmp_path / "out"
    near = write_jsonl(tmp_path / "near.jsonl", [{"prompt": f"What is {i} plus two?", "response": "9"} for i in "789"])
    said = thresher("select", method, pool, "--target", near, "--budget", "6 rows", "--out", out)
    assert said.code == 0, said.err
    scores = pq.read_table(out / "scores.parquet")
    assert set(scores["group"].to_pylist()) == {"adding", "talk", "code"}
    assert len(set(scores["label"].to_pylist())) == (3 if method == "random:balanced" else 30)
