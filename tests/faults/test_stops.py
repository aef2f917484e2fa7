"""Ctrl-C in the middle of every stage, once and twice."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from commands import STAGES, WHAT, Command, Happened, left, long, middle, prepared, whole
from injected import Running, run, start
from planted import paused_at

SOME = long(STAGES, "read", "select", "evaluate", "report")


def paused(stage: str, after: float, world: Path, command: Command) -> tuple[Running, Path]:
    """The stage in the middle of a write."""
    place, mark = world / "stopped", world / "mark"
    prepared(stage, place, command, world)
    fault = paused_at(middle(whole(stage, world, command).writes), mark, after, place)
    process = start(*command(stage, place), folder=world, fault=fault)
    process.wait(mark.exists)
    process.send(signal.SIGINT)
    return process, place


@pytest.mark.parametrize("stage", SOME)
def test_one_interrupt_stops_cleanly(stage: str, world: Path, command: Command, happened: Happened):
    process, place = paused(stage, 0.0, world, command)
    ended = process.end()
    assert ended.code == 130, ended.err
    assert "what is finished is kept" in ended.err
    assert "Traceback" not in ended.err
    again = run(*command(stage, place), folder=world)
    assert again.code == 0, again.err
    assert left(stage, place, again) == whole(stage, world, command).left
    happened("Ctrl-C", stage, f"exit 130; the same command again leaves the same {WHAT[stage]}")


@pytest.mark.parametrize("stage", SOME)
def test_a_second_interrupt_stops_at_once(stage: str, world: Path, command: Command, happened: Happened):
    process, place = paused(stage, 600.0, world, command)
    process.wait(lambda: b"stopping" in process.read()[1])
    process.send(signal.SIGINT)
    assert process.end().code == 130
    again = run(*command(stage, place), folder=world)
    assert again.code == 0, again.err
    assert left(stage, place, again) == whole(stage, world, command).left
    happened("Ctrl-C twice", stage, "the second does not wait for the cleaning up of the first: exit 130, goes on")
