"""A disk that is full or read-only at any write: one sentence, nothing half-written, and the same command goes on."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from commands import LONG, STAGES, WHAT, Command, Happened, left, long, middle, prepared, whole
from injected import run
from planted import no_file_over, refused_from


def refused_then_done(stage: str, fault: object, place: Path, world: Path, command: Command) -> object:
    """The command under the fault, then without."""
    prepared(stage, place, command, world)
    refused = run(*command(stage, place), folder=world, fault=fault)
    assert refused.clear, (refused.code, refused.err)
    assert "same command again" in refused.err
    if stage in ("select", "train"):
        assert not (place / "out").exists()
    again = run(*command(stage, place), folder=world)
    assert again.code == 0, again.err
    return left(stage, place, again)


def at_writes(stage: str, number: int, world: Path, command: Command, everywhere: bool = False) -> None:
    expected = whole(stage, world, command)
    for one in range(1, expected.writes + 1) if everywhere else [middle(expected.writes)]:
        here = world / f"refused-{one}"
        fault = refused_from(one, number, here)
        found = refused_then_done(stage, fault, here, world, command)
        assert found == expected.left, f"write {one} of {expected.writes}"


FULL = "one clear sentence, exit 2, nothing half-written; room made, the same command leaves the same {what}"


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up_in_the_middle(stage: str, world: Path, command: Command, happened: Happened):
    at_writes(stage, errno.ENOSPC, world, command)
    happened("disk full in the middle", stage, FULL.format(what=WHAT[stage]))


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up_at_every_write(stage: str, world: Path, command: Command, happened: Happened):
    at_writes(stage, errno.ENOSPC, world, command, everywhere=True)
    happened("disk full from any write on", stage, FULL.format(what=WHAT[stage]))


SIZES = {"read": [1000], "measure": [100], "select": [2000], "train": [3000], "evaluate": [1000], "run": [3000],
         "race": [3000], "report": [1000]}  # fmt: skip


@pytest.mark.parametrize("stage", LONG)
def test_a_quota_that_libraries_meet_too(stage: str, world: Path, command: Command, happened: Happened):
    """No file may grow beyond a size: Arrow, safetensors and torch write without Python's knowing."""
    expected = whole(stage, world, command).left
    for size in SIZES[stage]:
        place = world / f"quota-{size}"
        assert refused_then_done(stage, no_file_over(size), place, world, command) == expected
    happened("quota: files cannot grow", stage, FULL.format(what=WHAT[stage]))


@pytest.mark.parametrize("stage", long(["select", "train", "run", "race", "report"], "report"))
def test_an_output_folder_that_is_read_only(stage: str, world: Path, command: Command, happened: Happened):
    place = world / "place"
    prepared(stage, place, command, world)
    refused = run(*command(stage, place), folder=world, fault=refused_from(1, errno.EROFS, place / "out"))
    assert refused.clear, (refused.code, refused.err)
    assert "Read-only" in refused.err
    assert str(place / "out") in refused.err
    happened("read-only output", stage, "one clear sentence that names the folder, exit 2")


@pytest.mark.parametrize("stage", long(["read", "measure", "select", "evaluate", "run", "race"], "select", "evaluate"))
def test_a_store_that_is_read_only(stage: str, world: Path, command: Command, happened: Happened):
    place = world / "place"
    refused = run(*command(stage, place), folder=world, fault=refused_from(1, errno.EROFS, place / "store"))
    assert refused.clear, (refused.code, refused.err)
    assert "Read-only" in refused.err
    assert str(place / "store") in refused.err
    happened("read-only store", stage, "one clear sentence that names the folder, exit 2")


NAME = "two words  and more, Überprüfung 測試 \U0001f33e "
NAME += "x" * (200 - len(NAME))


def test_paths_of_any_kind(world: Path, command: Command, happened: Happened):
    """Pool, task, store and output below such a folder, all stages."""
    here = world / NAME
    here.mkdir()
    for path in world.glob("*.*"):
        (here / path.name).write_bytes(path.read_bytes())
    for stage in STAGES:
        place = here / f"{stage} {NAME[:150]}"
        prepared(stage, place, command, here)
        ended = run(*command(stage, place), folder=here)
        assert ended.code == 0, (stage, ended.err)
    happened("paths with spaces, unicode and 200 characters", "every stage", "works")


def test_a_name_that_no_disk_takes_is_said(world: Path, command: Command, happened: Happened):
    for out in ("x" * 300, Path("pool.jsonl") / "inside"):
        refused = run(*command("select", world)[:-4], "--out", out, "--store", world / "store", folder=world)
        assert refused.clear, (refused.code, refused.err)
    happened("a name of 300 characters, a folder inside a file", "select", "one clear sentence, exit 2")
