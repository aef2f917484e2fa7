"""Two processes at once, on one store and on one folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import STAGES, WHAT, Command, Happened, left, long, prepared, whole
from injected import start


@pytest.mark.parametrize("stage", long(STAGES, "read", "select", "train", "evaluate", "report"))
def test_two_processes_on_one_store_and_folder(stage: str, world: Path, command: Command, happened: Happened):
    expected = whole(stage, world, command)
    place = world / "both"
    prepared(stage, place, command, world)
    both = [start(*command(stage, place), folder=world) for _ in range(2)]
    for process in both:
        ended = process.end()
        assert ended.code == 0, ended.err
        assert left(stage, place, ended) == expected.left
    assert not list(place.rglob("*.part"))
    happened("two processes on one store and folder", stage, f"both end well and leave the same {WHAT[stage]}")
