"""kill -9 in the middle of every stage, and at every single change of the disk: the same command again goes on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from commands import LONG, STAGES, WHAT, Command, Happened, left, middle, prepared, whole
from injected import run
from planted import killed_at

SAID = "the same command again leaves the same {what}; nothing half-written has its final name"


def goes_on(stage: str, world: Path, command: Command, everywhere: bool = False) -> None:
    """Killed at a change, or at each, one after the other; then the same command again leaves the same."""
    expected = whole(stage, world, command)
    for number in range(1, expected.changes + 1) if everywhere else [middle(expected.changes)]:
        place = world / f"killed-{number}"
        prepared(stage, place, command, world)
        killed = run(*command(stage, place), folder=world, fault=killed_at(number, place))
        assert killed.code == -signal.SIGKILL, (number, expected.changes, killed.err)
        if stage in ("select", "train"):
            assert not (place / "out").exists(), "nothing is in --out before it is whole"
        again = run(*command(stage, place), folder=world)
        assert again.code == 0, (number, expected.changes, again.err)
        assert left(stage, place, again) == expected.left, f"killed at change {number} of {expected.changes}"
        assert not list(place.rglob("*.part")), "nothing unfinished is left"


@pytest.mark.parametrize("stage", LONG)
def test_killed_in_the_middle_it_goes_on(stage: str, world: Path, command: Command, happened: Happened):
    goes_on(stage, world, command)
    happened("kill -9 in the middle", stage, SAID.format(what=WHAT[stage]))


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_every_change_it_goes_on(stage: str, world: Path, command: Command, happened: Happened):
    goes_on(stage, world, command, everywhere=True)
    happened("kill -9 at every write and deletion, one after the other", stage, SAID.format(what=WHAT[stage]))


def test_killed_while_parts_are_joined(world: Path, command: Command, happened: Happened):
    """Every change of `seal`: the joined values, the manifest, the parts that go, the last rename."""
    expected = whole("measure", world, command)
    joining = 0
    for number in range(expected.changes, 0, -2):
        place = world / f"killed-{number}"
        killed = run(*command("measure", place), folder=world, fault=killed_at(number, place))
        assert killed.code == -signal.SIGKILL, killed.err
        if not list(place.glob("store/loss-*.part/values.npy*")):
            break
        joining += 1
        again = run(*command("measure", place), folder=world)
        assert again.code == 0, again.err
        assert left("measure", place, again) == expected.left, number
    assert joining >= 5
    happened("kill -9 while parts are joined", "measure", SAID.format(what=WHAT["measure"]))
