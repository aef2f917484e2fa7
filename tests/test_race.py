"""A race over a recipe: real choosing, planted scores; it goes on where it stopped, and its books add up."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import thresher.run
from thresher.core.store import Store, write_bytes
from thresher.errors import BudgetError, RecipeError, StoreError
from thresher.job import RESULT, Job
from thresher.race import race
from thresher.run import run
from thresher.spec import Spec

LOSS = {"random": 3.0, "longest": 2.0, "full": 1.0, "zero-shot": 6.0}


def rows(n: int, start: int = 0) -> str:
    made = [
        {"instruction": f"How many are {i} keys and {i % 7}?", "output": "keys " * (1 + i % 9), "source": "ab"[i % 2]}
        for i in range(start, start + n)
    ]
    return "\n".join(map(json.dumps, made)) + "\n"


def values(**more: object) -> dict[str, object]:
    return {
        "pool": "pool.jsonl", "model": "scratch:50k",
        "methods": ["zero-shot", "random", "longest", {"method": "random", "label": "worse"}],
        "budgets": ["6 rows", "12 rows"], "seeds": [0, 1], "workers": 1, "dtype": "float32",
        "recipe": {"learning_rate": 1e-3, "batch_size": 4, "micro_batch": 4, "max_tokens": 64},
        "tasks": [
            {"task": "dev", "data": "test.jsonl", "measure": "held_out"},
            {"task": "keys", "data": "test.jsonl", "measure": "held_out"},
        ],
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("race")
    (folder / "pool.jsonl").write_text(rows(40))
    (folder / "test.jsonl").write_text(rows(4, start=200))
    return folder


class Trainings:
    """Instead of training: the loss that is known, and a bill by the rows' tokens."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.names: list[str] = []
        self.stop_after = stop_after

    def __call__(self, job: Job) -> list[dict]:
        if self.stop_after is not None and len(self.names) == self.stop_after:
            raise KeyboardInterrupt
        self.names.append(job.name)
        method = job.line["method"].partition(":")[0]
        loss = LOSS.get(method, 5.0) - 0.01 * (job.line["rows"] or 0) + 0.001 * job.seed
        training = 4e5 * (job.line["train_tokens"] or 0)
        lines = [
            {**job.line, "task": task.task, "metric": "loss", "score": loss, "score_se": 0.1,
             "training_flops": training, "total_flops": training + job.line["selection_flops"], "training_seconds": 1.0}
            for task in job.tasks
        ]  # fmt: skip
        write_bytes(job.folder / RESULT, json.dumps({"results": lines, "receipts": []}).encode())
        return lines


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    found = Trainings()
    monkeypatch.setattr(thresher.run, "work", found)
    return found


def go(folder: Path, out: Path, budget: str = "1e12 flops", by: tuple[str, ...] = (), **more: object) -> dict:
    spec = Spec.from_dict(values(**more), folder=folder)
    race(spec, out, store=Store(folder / "store"), budget=budget, by=by)
    return json.loads((out / "race.json").read_text())


def test_the_winner_is_found_the_loser_stops_and_all_is_charged(folder: Path, tmp_path: Path, trainings: Trainings):
    told = go(folder, tmp_path / "out")
    assert (told["winner"]["contender"], told["winner"]["size"]) == ("longest", "12 rows")
    assert told["by"] == ["dev:loss"]
    assert not any(name.startswith("worse-12") for name in trainings.names)
    assert "2 of 2 at 6 rows" in told["rounds"][0]["stopped"]["worse"]
    table = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    once = {(line["method"], line["rows"], line["seed"]): line["total_flops"] for line in table}
    assert told["bill"]["spent"] == pytest.approx(sum(once.values()))
    assert ("worse", 6, 0) in once
    assert ("random", 12, 1) in once, "the control stays beside the winner"
    assert told["bill"]["spent"] < told["bill"]["grid"]
    assert json.loads((tmp_path / "out" / "frontier.json").read_text())["panels"]


def test_interrupted_it_goes_on_and_ends_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = Trainings()
    monkeypatch.setattr(thresher.run, "work", whole)
    at_once = go(folder, tmp_path / "whole")
    first = Trainings(stop_after=4)
    monkeypatch.setattr(thresher.run, "work", first)
    with pytest.raises(KeyboardInterrupt):
        go(folder, tmp_path / "cut")
    assert not (tmp_path / "cut" / "race.json").exists()
    second = Trainings()
    monkeypatch.setattr(thresher.run, "work", second)
    assert go(folder, tmp_path / "cut") == at_once
    assert first.names + second.names == whole.names, "nothing is trained twice, nothing is left out"


def test_more_money_goes_on_from_there(folder: Path, tmp_path: Path, trainings: Trainings):
    whole = go(folder, tmp_path / "all", methods=["random", "longest", "full"])
    assert whole["winner"]["contender"] == "full"
    before = len(trainings.names)
    priced = sum(one["training_flops"] for one in whole["rounds"][0]["ran"])
    poor = go(folder, tmp_path / "out", methods=["random", "longest", "full"], budget=f"{2.6 * priced:.6e} flops")
    assert poor["winner"]["contender"] != "full"
    go(folder, tmp_path / "out", methods=["random", "longest", "full"])
    assert len(trainings.names) == before * 2, "the second time only what was missing"


def test_scorers_are_contenders_of_their_own_and_choosing_is_charged_once(
    folder: Path, tmp_path: Path, trainings: Trainings
):
    told = go(folder, tmp_path / "out", methods=["random", "ppl-mid"], scorers=["scratch:20k", "scratch:25k"])
    ran = {(one["contender"], one["size"]): one for turn in told["rounds"] for one in turn["ran"] if turn["seed"] == 0}
    for scorer in ("scratch:20k", "scratch:25k"):
        assert ran[f"ppl-mid ({scorer})", "6 rows"]["selection_flops"] > 0
    again = [one["selection_flops"] for (name, size), one in ran.items() if name != "random" and size == "12 rows"]
    assert again == [0.0]
    table = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert {line["scorer"] for line in table} == {"", "scratch:20k", "scratch:25k"}


def test_a_plain_run_takes_scorers_too(folder: Path, tmp_path: Path, trainings: Trainings):
    spec = Spec.from_dict(
        values(methods=["random", "ppl-mid"], scorers=["scratch:20k", "scratch:25k"], budgets=["6 rows"], seeds=[0]),
        folder=folder,
    )
    run(spec, tmp_path / "out", store=Store(folder / "store"))
    assert len(set(trainings.names)) == 3


BAD = {
    "one arm": ({"methods": ["zero-shot", "longest"]}, RecipeError, "two contenders at least; this one has longest"),
    "an arm of one size": ({"methods": ["random", "tapt", "longest"], "target": "test.jsonl"}, RecipeError, "tapt"),
    "two of one name": ({"methods": ["random", "random"]}, RecipeError, "two arms are called 'random'"),
    "two protocols": ({"protocols": ["equal-epochs", "equal-steps"]}, RecipeError, "under one protocol"),
}


@pytest.mark.parametrize(("more", "error", "words"), BAD.values(), ids=list(BAD))
def test_what_cannot_be_raced(
    more: dict, error: type[Exception], words: str, folder: Path, tmp_path: Path, trainings: Trainings
):
    with pytest.raises(error, match=words):
        go(folder, tmp_path / "out", **more)
    assert not any(name.startswith("random") for name in trainings.names)


def test_budgets_that_pay_for_no_race(folder: Path, tmp_path: Path, trainings: Trainings):
    with pytest.raises(BudgetError, match="the first round, every contender once"):
        go(folder, tmp_path / "poor", budget="1000 flops")
    with pytest.raises(BudgetError, match="is a size, and a race's budget"):
        go(folder, tmp_path / "rows", budget="20 rows")
    with pytest.raises(RecipeError, match="Did you mean 'keys:loss'"):
        go(folder, tmp_path / "by", by=("kesy:loss",))


def test_a_folder_of_a_plain_run_or_of_another_race_is_refused(folder: Path, tmp_path: Path, trainings: Trainings):
    go(folder, tmp_path / "out")
    with pytest.raises(StoreError, match="another run's: its race differ"):
        go(folder, tmp_path / "out", by=("keys",))
    with pytest.raises(StoreError, match="another run's: its race differ"):
        run(Spec.from_dict(values(), folder=folder), tmp_path / "out", store=Store(folder / "store"))


def test_test_rows_in_the_pool_are_said_before_anything_is_trained(folder: Path, trainings: Trainings):
    both = rows(40).splitlines()[:3] + rows(1, start=200).splitlines()
    (folder / "seen.jsonl").write_text("\n".join(both) + "\n")
    spec = Spec.from_dict(values(tasks=[{"task": "dev", "data": "seen.jsonl", "measure": "held_out"}]), folder=folder)
    said: list[str] = []
    out = race(spec, folder / "seen", store=Store(folder / "store"), budget="1e12 flops", say=said.append)
    first = next(i for i, line in enumerate(said) if "stand" in line)
    assert "3" in said[first]
    assert not any("loss" in line for line in said[:first])
    (task,) = json.loads((out / "contamination.json").read_text())["tasks"]
    assert task["exact"] == 3
    assert task["selections"]
