"""A clock that goes backwards while a stage goes on after a kill: it decides nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from commands import STAGES, WHAT, Command, Happened, left, long, middle, prepared, whole
from injected import run
from planted import backwards, killed_at


@pytest.mark.parametrize("stage", long(STAGES, "read", "select", "train", "evaluate", "report"))
def test_a_clock_that_goes_backwards(stage: str, world: Path, command: Command, happened: Happened):
    expected = whole(stage, world, command)
    place = world / "clock"
    prepared(stage, place, command, world)
    killed = run(*command(stage, place), folder=world, fault=killed_at(middle(expected.changes), place))
    assert killed.code == -signal.SIGKILL
    again = run(*command(stage, place), folder=world, fault=backwards)
    assert again.code == 0, again.err
    assert left(stage, place, again) == expected.left
    receipts = [json.loads(path.read_text())["receipt"] for path in place.rglob("manifest.json")]
    receipts += [json.loads(path.read_text())["receipt"] for path in place.rglob("thresher-training.json")]
    receipts += [one for path in place.rglob("result.json") for one in json.loads(path.read_text())["receipts"]]
    assert receipts or stage in ("read", "evaluate", "report")
    assert all(receipt["seconds"] >= 0 for receipt in receipts)
    happened("clock going backwards, after a kill", stage, f"the same {WHAT[stage]}; no seconds below zero")
