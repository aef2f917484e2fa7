"""What a selection, a training and a run rest on, damaged while nobody looked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import Command, Happened, left, middle, prepared, whole
from injected import run
from planted import killed_at
from test_damage import DAMAGE

CHECKPOINT = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "thresher-sums.json")


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize(
    "file", ["model.safetensors", *(pytest.param(name, marks=pytest.mark.faults) for name in CHECKPOINT)]
)
def test_a_damaged_checkpoint_is_not_gone_on_from(
    file: str, name: str, world: Path, command: Command, happened: Happened
):
    expected, place = whole("train", world, command), world / "place"
    killed = run(*command("train", place), folder=world, fault=killed_at(middle(expected.changes) + 4, place))
    assert killed.code == -9
    checkpoint = sorted(place.glob("out.part/stage-1/checkpoint-*/thresher-sums.json"))[-1].parent
    DAMAGE[name](checkpoint / file)
    again = run(*command("train", place), folder=world)
    assert again.code == 0, again.err
    assert "is damaged" in again.err
    assert left("train", place, again) == expected.left
    happened(f"a checkpoint's files: {name}", "train", "named; from an earlier one or anew, the same weights")


@pytest.mark.parametrize("name", DAMAGE)
def test_a_finished_training_that_cannot_be_read_is_done_again(
    name: str, world: Path, command: Command, happened: Happened
):
    expected, place = whole("train", world, command), world / "place"
    assert run(*command("train", place), folder=world).code == 0
    DAMAGE[name](place / "out" / "thresher-training.json")
    again = run(*command("train", place), folder=world)
    assert again.code == 0, again.err
    assert "is damaged" in again.err
    assert left("train", place, again) == expected.left
    happened(f"thresher-training.json: {name}", "train", "named, and trained again; the same weights")


@pytest.mark.faults
@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("stage", ["run", "race"])
@pytest.mark.parametrize(
    "file", ["trained/random-*/result.json", "selections/longest-*/card.json", "selections/longest-*/selected.jsonl",
             "selections/longest-*/scores.parquet", "results.parquet", "frontier.json"],
)  # fmt: skip
def test_a_damaged_run_mends_itself(
    file: str, stage: str, name: str, world: Path, command: Command, happened: Happened
):
    expected, place = whole(stage, world, command), world / "place"
    assert run(*command(stage, place), folder=world).code == 0
    (damaged,) = (place / "out").glob(file)
    DAMAGE[name](damaged)
    again = run(*command(stage, place), folder=world)
    assert again.code == 0, again.err
    assert "is damaged" in again.err or file in ("results.parquet", "frontier.json")
    assert left(stage, place, again) == expected.left
    happened(f"{file.rpartition('/')[2]}: {name}", stage, "made again; the same scores and costs")


@pytest.mark.faults
@pytest.mark.parametrize("stage", ["run", "race"])
def test_a_run_whose_beginning_is_damaged_is_refused(stage: str, world: Path, command: Command, happened: Happened):
    place = world / "place"
    run(*command(stage, place), folder=world, fault=killed_at(40, place))
    DAMAGE["cut short"](place / "out" / "run.json")
    refused = run(*command(stage, place), folder=world)
    assert refused.clear, (refused.code, refused.err)
    assert "run.json" in refused.err
    happened("run.json: cut short", stage, "one clear sentence, exit 2")


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("file", ["card.json", "scores.parquet", "selected.jsonl"])
def test_a_report_of_damaged_files_is_refused_or_said(
    file: str, name: str, world: Path, command: Command, happened: Happened
):
    place = world / "place"
    prepared("report", place, command, world)
    DAMAGE[name](place / "out" / file)
    ended = run(*command("report", place), folder=world)
    assert ended.clear, (ended.code, ended.err)
    assert file in ended.err
    assert not (place / "out" / "report.html").exists()
    happened(f"{file} of a selection: {name}", "report", "one clear sentence that names the file, exit 2")


@pytest.mark.parametrize("stage", ["evaluate", "measure", "train"])
def test_weights_that_are_cut_short_are_refused(
    stage: str, world: Path, model: str, command: Command, happened: Happened
):
    damaged = Path(shutil.copytree(model, world / "damaged"))
    DAMAGE["cut short"](damaged / "model.safetensors")
    line = tuple(str(damaged) if argument == model else argument for argument in command(stage, world / "place"))
    refused = run(*line, folder=world)
    assert refused.clear, (refused.code, refused.err)
    assert "damaged" in refused.err
    happened("a model's weights: cut short", stage, "one clear sentence, exit 2")


def test_weights_of_which_one_bit_turned_are_another_model(
    world: Path, model: str, command: Command, happened: Happened
):
    damaged = Path(shutil.copytree(model, world / "damaged"))
    place = world / "place"
    line = tuple(str(damaged) if argument == model else argument for argument in command("measure", place))
    assert run(*line, folder=world).code == 0
    DAMAGE["one bit flipped"](damaged / "model.safetensors")
    assert run(*line, folder=world).code == 0
    assert len(list(place.glob("store/loss-*"))) == 2
    happened("a model's weights: one bit flipped", "measure", "not to be known; another model, measured anew")
