"""Memory that runs out: a batch of a forward pass is halved once, said and recorded; else one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import WHAT, Command, Happened, left, long, whole
from injected import Fault, run
from safetensors.numpy import load

from thresher.models import loss
from thresher.training import counting
from thresher.training.origin import DONE


class Short:
    """Memory runs out at batches of more than so many rows."""

    def __init__(self, most: int) -> None:
        self.most, self.plain = most, loss._batch

    def __call__(self, opened: object, head: object, tokens: object, rows: np.ndarray, statistic: object) -> object:
        if len(rows) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.plain(opened, head, tokens, rows, statistic)


def reading_more_than(most: int) -> Fault:
    def short() -> None:
        loss._batch = Short(most)

    return short


def test_memory_that_runs_out_halves_a_batch_once(world: Path, command: Command, happened: Happened):
    whole("measure", world, command)
    plain, place = world / "plain", world / "short"
    assert run(*command("measure", plain), folder=world).code == 0
    ended = run(*command("measure", place), folder=world, fault=reading_more_than(5))
    assert ended.code == 0, ended.err
    assert "did not fit into memory: it is done in two halves" in ended.err
    assert json.loads(ended.out)["halved"] > 0, "it is on the receipt"
    (values,), (expected,) = (list(map(np.load, here.glob("store/loss-*/values.npy"))) for here in (place, plain))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    happened("out of memory in a batch", "measure", "halved once, said, on the receipt; the same values")


@pytest.mark.parametrize("stage", long(["evaluate", "run"]))
def test_memory_that_runs_out_while_scoring(stage: str, world: Path, command: Command, happened: Happened):
    expected, place = whole(stage, world, command), world / "short"
    ended = run(*command(stage, place), folder=world, fault=reading_more_than(3))
    assert ended.code == 0, ended.err
    assert "did not fit into memory: it is done in two halves" in ended.err
    for mine, other in zip(left(stage, place, ended), expected.left, strict=True):
        for one, another in zip(mine, other, strict=True):
            assert one == (pytest.approx(another, rel=1e-5) if isinstance(another, float) else another)
    receipts = [one for path in place.rglob("result.json") for one in json.loads(path.read_text())["receipts"]]
    assert stage == "evaluate" or sum(one.get("halved", 0) for one in receipts) > 0
    happened("out of memory in a batch", stage, "halved once, said; the same scores")


@pytest.mark.parametrize("stage", ["measure", "evaluate"])
def test_memory_that_is_far_too_short_is_said(stage: str, world: Path, command: Command, happened: Happened):
    ended = run(*command(stage, world / "short"), folder=world, fault=reading_more_than(1))
    assert ended.clear, (ended.code, ended.err)
    assert "out of memory" in ended.err
    happened("out of memory in half a batch too", stage, "one clear sentence, exit 2; finished parts are kept")


def training_short(error: type[Exception], times: int) -> Fault:
    """Memory runs out at a step of the Trainer, so many times in a row."""

    def short() -> None:
        plain, steps = counting.Trainer.training_step, iter(range(100))

        def step(self: object, *arguments: object) -> torch.Tensor:
            if 2 < next(steps) <= 2 + times:
                raise error("CUDA out of memory")
            return plain(self, *arguments)

        counting.Trainer.training_step = step

    return short


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("stage", long(["train", "run", "race"]))
def test_memory_that_runs_out_in_training_halves_a_batch_once(
    stage: str, error: type[Exception], world: Path, command: Command, happened: Happened
):
    expected, place = whole(stage, world, command), world / "short"
    ended = run(*command(stage, place), folder=world, fault=training_short(error, 1))
    assert ended.code == 0, ended.err
    assert "did not fit into memory: it is done in two halves" in ended.err
    found = left(stage, place, ended)
    if stage == "train":
        assert json.loads((place / "out" / DONE).read_text())["receipt"]["halved"] == 1
        mine, other = load(found), load(expected.left)
        assert all(np.allclose(mine[name], other[name], atol=1e-4) for name in other)
    else:
        receipts = [json.loads(path.read_text())["receipts"][0] for path in place.rglob("result.json")]
        assert sum(one.get("halved", 0) for one in receipts) == 1
        for mine, other in zip(found, expected.left, strict=True):
            assert [*mine[:2], *map(float, mine[2:])] == [*other[:2], *(pytest.approx(x, rel=1e-3) for x in other[2:])]
    what = {"train": "weights, to rounding"}.get(stage, "scores and costs")
    happened("out of memory in a step of training", stage, f"halved once, said, on the receipt; the same {what}")


@pytest.mark.parametrize("stage", long(["train", "run", "race"]))
def test_memory_that_is_far_too_short_for_training(stage: str, world: Path, command: Command, happened: Happened):
    expected, place = whole(stage, world, command), world / "short"
    ended = run(*command(stage, place), folder=world, fault=training_short(torch.OutOfMemoryError, 2))
    assert ended.clear, (ended.code, ended.err)
    assert "out of memory" in ended.err
    assert "micro_batch" in ended.err
    again = run(*command(stage, place), folder=world)
    assert again.code == 0, again.err
    assert left(stage, place, again) == expected.left
    happened(
        "out of memory in half a step of training too", stage,
        f"one clear sentence, exit 2; the same command leaves the same {WHAT[stage]}",
    )  # fmt: skip
