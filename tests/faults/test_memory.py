"""Memory that runs out: a batch of a forward pass is halved once, said and recorded; else one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import WHAT, Command, Happened, left, long, whole
from injected import Fault, run

from thresher.models import loss
from thresher.training import sft


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
    assert "did not fit into memory: it is read in two halves" in ended.err
    assert json.loads(ended.out)["halved"] > 0, "it is on the receipt"
    (values,), (expected,) = (list(map(np.load, here.glob("store/loss-*/values.npy"))) for here in (place, plain))
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    happened("out of memory in a batch", "measure", "halved once, said, on the receipt; the same values")


@pytest.mark.parametrize("stage", long(["evaluate", "run"]))
def test_memory_that_runs_out_while_scoring(stage: str, world: Path, command: Command, happened: Happened):
    expected, place = whole(stage, world, command), world / "short"
    ended = run(*command(stage, place), folder=world, fault=reading_more_than(3))
    assert ended.code == 0, ended.err
    assert "did not fit into memory: it is read in two halves" in ended.err
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


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("stage", long(["train", "run", "race"]))
def test_memory_that_runs_out_in_training(
    stage: str, error: type[Exception], world: Path, command: Command, happened: Happened
):
    expected, place = whole(stage, world, command), world / "short"

    def short() -> None:
        plain, steps = sft._CountingTrainer.training_step, iter(range(100))

        def step(self: object, *arguments: object) -> torch.Tensor:
            if next(steps) == 3:
                raise error("CUDA out of memory")
            return plain(self, *arguments)

        sft._CountingTrainer.training_step = step

    ended = run(*command(stage, place), folder=world, fault=short)
    assert ended.clear, (ended.code, ended.err)
    assert "out of memory" in ended.err
    assert "micro_batch" in ended.err
    again = run(*command(stage, place), folder=world)
    assert again.code == 0, again.err
    assert left(stage, place, again) == expected.left
    happened(
        "out of memory in a step of training", stage,
        f"not halved: one clear sentence, exit 2; the same command leaves the same {WHAT[stage]}",
    )  # fmt: skip
