"""A training that diverges, a model that predicts NaN, and a folder that is another training's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from commands import Command, Happened, prepared
from injected import Ended, run
from safetensors.torch import load_file, save_file

LEFT = {
    "train": "a sentence within 16 steps, exit 2; no model is left",
    "run": "the other models are done, then a sentence names those without a score, exit 2",
    "race": "a sentence names the model, exit 2",
}


def said(ended: Ended, *words: str) -> None:
    assert ended.code == 2, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err


@pytest.mark.parametrize("stage", LEFT)
def test_a_training_that_diverges(stage: str, world: Path, command: Command, happened: Happened):
    for name in ("recipe.yaml", "run.yaml"):
        text = (world / name).read_text().replace("{steps:", "{learning_rate: 1e+39, steps:")
        (world / name).write_text(text.replace("[random,", "[zero-shot, random,"))
    place = world / "place"
    prepared(stage, place, command, world)
    for _ in range(2):
        said(run(*command(stage, place), folder=world), "the training diverged", "lower learning_rate")
    if stage == "train":
        assert not list(place.glob("out*"))
    elif stage == "run":
        lines = (place / "out" / "results.csv").read_text().splitlines()
        assert {line.partition(",")[0] for line in lines[1:]} == {"zero-shot", "zero-shot:plain"}
    happened("a training that diverges", stage, LEFT[stage])


def test_a_model_that_predicts_nan(world: Path, model: str, happened: Happened):
    broken = world / "broken"
    shutil.copytree(model, broken)
    (path,) = broken.glob("*.safetensors")
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("norm.weight"))
    save_file({**weights, name: torch.full_like(weights[name], float("nan"))}, path, metadata={"format": "pt"})
    ended = run("evaluate", broken, "--task", "task.yaml", "--store", world / "store", "--json", folder=world)
    said(ended, "not finite", "Its training diverged")
    assert ended.out == ""
    happened("a model that predicts NaN", "evaluate", "a sentence with the rows' ids and no score, exit 2")


def test_the_folder_of_another_training(world: Path, command: Command, happened: Happened):
    place = world / "place"
    asked = command("train", place)
    assert run(*asked, folder=world).code == 0
    before = {path: path.read_bytes() for path in place.glob("out/*")}
    said(run(*asked, "--seed", "1", folder=world), "is a finished training of another seed", "--out")
    assert {path: path.read_bytes() for path in place.glob("out/*")} == before
    happened("--out is another training's", "train", "refused, exit 2; what is there is kept")
