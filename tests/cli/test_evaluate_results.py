"""`thresher evaluate --results`: from a selection to a frontier, and what cannot stand in a table."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from command_line import Command, alpaca, write_jsonl

SHORT = "steps: 1\nbatch_size: 4\nmax_tokens: 64\n"
LOSS = ("--set", "measure=held_out", "--set", "metrics=loss", "--json")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, a task and a pool, for all tests here."""
    folder = tmp_path_factory.mktemp("tabled")
    write_jsonl(folder / "pool.jsonl", alpaca(30))
    write_jsonl(folder / "test.jsonl", alpaca(6, start=500))
    (folder / "short.yaml").write_text(SHORT)
    (folder / "task.yaml").write_text("task: keys\ndata: test.jsonl\nmeasure: held_out\n")
    return folder


@pytest.fixture
def trained(home: Path, thresher: Command, tiny_model: str) -> tuple[Path, Path]:
    """A selection, and the model that was trained on it."""
    chosen, model = home / "chosen", home / "trained"
    if not model.exists():
        said = thresher("select", "random", home / "pool.jsonl", "--model", tiny_model, "--budget", "8 rows", "--seed",
                        3, "--out", chosen)  # fmt: skip
        assert said.code == 0, said.err
        recipe = ("--recipe", home / "short.yaml")
        said = thresher("train", chosen, "--model", tiny_model, "--seed", 3, *recipe, "--out", model, "--json")
        assert said.code == 0, said.err
    return chosen, model


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.slow
def test_select_train_evaluate_frontier(
    home: Path, trained: tuple[Path, Path], thresher: Command, tiny_model: str, tmp_path: Path
):
    chosen, model = trained
    table, task = tmp_path / "table.csv", ("--task", home / "task.yaml", "--results", tmp_path / "table.csv")
    said = thresher("evaluate", tiny_model, *task, "--format", "both", "--json")
    assert said.code == 0, said.err
    said = thresher("evaluate", model, *task, "--selection", chosen, "--json")
    assert said.code == 0, said.err
    score = said.document[0]["score"]
    zero, plain, line = lines(table)
    assert (zero["method"], plain["method"], zero["rows"], zero["total_flops"]) == (
        "zero-shot", "zero-shot:plain", "0", "0.0",
    )  # fmt: skip
    card = json.loads((chosen / "card.json").read_text())
    about = json.loads((model / "thresher-training.json").read_text())
    said_of = {key: line[key] for key in ("method", "model", "rows", "seed", "task", "metric", "test_rows", "protocol")}
    assert said_of == {
        "method": "random", "model": tiny_model, "rows": "8", "seed": "3", "task": "keys", "metric": "loss",
        "test_rows": "6", "protocol": "equal-steps",
    }  # fmt: skip
    assert float(line["score"]) == score
    assert float(line["fraction"]) == 8 / 30
    assert float(line["training_flops"]) == about["receipt"]["flops"] > 0
    assert float(line["selection_flops"]) == card["cost"]["measured"]["selection_flops"]
    assert int(line["train_tokens"]) == card["chosen"]["tokens"]
    panel, = thresher("frontier", table, "--json").document["panels"]
    assert {arm["method"] for arm in panel["arms"]} == {"zero-shot", "zero-shot:plain", "random"}
    assert panel["pool"] == "pool.jsonl"

    again = thresher("evaluate", model, *task, "--selection", chosen, "--json")
    assert "the line of random, keys loss was there" in again.err
    assert len(lines(table)) == 3


def test_what_cannot_stand_in_a_table(
    home: Path, trained: tuple[Path, Path], thresher: Command, tiny_model: str, tmp_path: Path
):
    chosen, model = trained
    table = tmp_path / "table.csv"
    task = ("--task", home / "task.yaml", "--json")
    other = tmp_path / "other"
    shutil.copytree(chosen, other)
    card = json.loads((other / "card.json").read_text())
    card["sha256"]["selected.jsonl"] = "0" * 64
    (other / "card.json").write_text(json.dumps(card))
    old = tmp_path / "old"
    shutil.copytree(model, old)
    about = json.loads((old / "thresher-training.json").read_text())
    del about["data"]
    (old / "thresher-training.json").write_text(json.dumps(about))
    foreign = tmp_path / "foreign.csv"
    foreign.write_text("method,model,task,metric,score,selection_flops,training_flops,rows,mood\na,m,t,x,1,0,1,2,good\n")
    for arguments, words in (
        ((model, "--results", table), ("was trained on", "selected.jsonl", "--selection DIR")),
        ((model, "--results", table, "--selection", other), ("was not trained on the rows of", "selected.jsonl")),
        ((model, "--results", table, "--selection", home), ("has no card.json",)),
        ((old, "--results", table, "--selection", chosen), ("did not yet note which rows", "Train it again")),
        ((tiny_model, "--results", table, "--selection", chosen), ("was not trained by `thresher train`",)),
        ((tiny_model, "--results", tmp_path / "t.txt"), ("ends in .csv or .parquet",)),
        ((tiny_model, "--results", foreign), ("would lose: mood",)),
        ((tiny_model, "--method", "x"), ("name one with --results FILE",)),
    ):
        said = thresher("evaluate", *arguments, *task)
        assert (said.code, said.out) == (2, ""), said.err
        for word in words:
            assert word in said.err
    assert not table.exists()
    assert foreign.read_text().endswith("good\n")


def test_scores_on_other_rows_do_not_stand_beside_each_other(
    home: Path, trained: tuple[Path, Path], thresher: Command, tiny_model: str, tmp_path: Path
):
    chosen, model = trained
    task = ("--task", home / "task.yaml", "--results", tmp_path / "table.parquet")
    assert thresher("evaluate", tiny_model, *task).code == 0
    said = thresher("evaluate", model, *task, "--selection", chosen, "--limit", 4)
    assert said.code == 2
    assert "on 4 test rows, but" in said.err
    assert "has zero-shot on 6: they do not compare" in said.err
