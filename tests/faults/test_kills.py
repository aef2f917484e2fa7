"""kill -9 in the middle of every stage, two processes at once, Ctrl-C, a clock that goes backwards: nothing is lost."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from commands import LONG, STAGES, Command, Happened, left, middle, prepared, whole
from injected import Fault, killed_at, run, start

from thresher.core.store import Store


def goes_on(stage: str, world: Path, command: Command, everywhere: bool = False) -> None:
    """Killed at a write, or at each, one after the other; then the same command again leaves the same."""
    expected, writes = whole(stage, world, command)
    for number in range(1, writes + 1) if everywhere else [middle(writes)]:
        place = world / f"killed-{number}"
        prepared(stage, place, command, world)
        killed = run(*command(stage, place), folder=world, fault=killed_at(number, place))
        assert killed.code == -signal.SIGKILL, (number, writes, killed.err)
        if stage in ("select", "train"):
            assert not (place / "out").exists(), "nothing is in --out before it is whole"
        again = run(*command(stage, place), folder=world)
        assert again.code == 0, again.err
        assert left(stage, place, again) == expected, f"killed at write {number} of {writes}"
        assert not list(place.rglob("*.part")), "nothing unfinished is left"


SAID = "the same command again leaves the same {what}; nothing half-written has its final name"
WHAT = {
    "read": "pool", "measure": "bytes", "select": "bytes", "train": "weights, bit for bit", "evaluate": "scores",
    "run": "scores and costs", "report": "page",
}  # fmt: skip


@pytest.mark.parametrize("stage", LONG)
def test_killed_in_the_middle_it_goes_on(stage: str, world: Path, command: Command, happened: Happened):
    goes_on(stage, world, command)
    happened("kill -9 in the middle", stage, SAID.format(what=WHAT[stage]))


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_every_write_it_goes_on(stage: str, world: Path, command: Command, happened: Happened):
    goes_on(stage, world, command, everywhere=True)
    happened("kill -9 at every write, one after the other", stage, SAID.format(what=WHAT[stage]))


def test_two_processes_on_one_store_leave_the_same_bytes(world: Path, command: Command, happened: Happened):
    expected, _ = whole("measure", world, command)
    place = world / "both"
    both = [start(*command("measure", place), folder=world) for _ in range(2)]
    for process in both:
        ended = process.end()
        assert ended.code == 0, ended.err
    assert left("measure", place, ended) == expected
    happened("two processes on one store", "measure", "the second waits for the first and reads what it left")


def backwards() -> None:
    """time.time() falls by an hour with every call; files say so too."""
    told = iter(range(2_000_000_000, 0, -3600))
    time.time = lambda: float(next(told))
    time.time_ns = lambda: next(told) * 1_000_000_000


@pytest.mark.parametrize("stage", ["measure", pytest.param("train", marks=pytest.mark.faults)])
def test_a_clock_that_goes_backwards(stage: str, world: Path, command: Command, happened: Happened):
    expected, writes = whole(stage, world, command)
    place = world / "clock"
    killed = run(*command(stage, place), folder=world, fault=killed_at(writes // 2, place))
    assert killed.code == -signal.SIGKILL
    again = run(*command(stage, place), folder=world, fault=backwards)
    assert again.code == 0, again.err
    assert left(stage, place, again) == expected
    receipts = [json.loads(path.read_text())["receipt"] for path in place.rglob("manifest.json")]
    receipts += [json.loads(path.read_text())["receipt"] for path in place.rglob("thresher-training.json")]
    assert receipts
    assert all(receipt["seconds"] >= 0 for receipt in receipts)
    happened("clock going backwards, after a kill", stage, "the same bytes; seconds are of a clock that only rises")


def slow(sleep: float, after: float = 0.0) -> Fault:
    """Every part is followed by a pause; when that is broken off, cleaning up takes a while."""

    def fault() -> None:
        plain = Store.write_part

        def write_part(self: Store, *arguments: object) -> None:
            plain(self, *arguments)
            try:
                time.sleep(sleep)
            finally:
                time.sleep(after)

        Store.write_part = write_part

    return fault


def test_one_interrupt_stops_cleanly(world: Path, command: Command, happened: Happened):
    expected, _ = whole("measure", world, command)
    place = world / "stopped"
    process = start(*command("measure", place), folder=world, fault=slow(600))
    process.wait(lambda: bool(list(place.glob("store/loss-*.part/[0-9]*.json"))))
    process.send(signal.SIGINT)
    ended = process.end()
    assert ended.code == 130
    assert "what is finished is kept" in ended.err
    assert "Traceback" not in ended.err
    assert len(list(place.glob("store/loss-*.part/[0-9]*.json"))) == 1
    again = run(*command("measure", place), folder=world)
    assert left("measure", place, again) == expected
    happened("Ctrl-C", "measure", "exit 130, finished parts are kept, the same command goes on")


def test_a_second_interrupt_stops_at_once(world: Path, command: Command, happened: Happened):
    place = world / "stopped"
    process = start(*command("measure", place), folder=world, fault=slow(600, after=600))
    process.wait(lambda: bool(list(place.glob("store/loss-*.part/[0-9]*.json"))))
    process.send(signal.SIGINT)
    process.wait(lambda: b"stopping" in process._read()[1])
    process.send(signal.SIGINT)
    assert process.end().code == 130
    happened("Ctrl-C twice", "measure", "the second does not wait for the cleaning up of the first: exit 130")
