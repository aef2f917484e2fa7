"""A real file system that is too small, or read-only: one sentence; made larger, the same command goes on.

Each is a tmpfs of so many pages, which needs the right to mount; skipped without.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import STAGES, WHAT, Command, Happened, left, long, prepared, whole
from injected import run

PAGE = 4096


def mount(*arguments: object) -> bool:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode == 0


@contextmanager
def small(place: Path, pages: int) -> Iterator[None]:
    """A disk of so many pages at a folder."""
    place.mkdir(exist_ok=True)
    if not mount("-t", "tmpfs", "-o", f"size={pages * PAGE}", "tmpfs", place):
        pytest.skip("no right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=True)


def pages_of(stage: str, place: Path, world: Path, command: Command) -> tuple[int, int]:
    """What is on the disk before the stage, and after."""
    with small(place, 1 << 14):
        prepared(stage, place, command, world)
        before = used(place)
        assert run(*command(stage, place), folder=world).code == 0
        return before, used(place)


def used(place: Path) -> int:
    return int(subprocess.run(["df", "--output=used", "-B", str(PAGE), place], capture_output=True, text=True,
                              check=True).stdout.split()[-1])  # fmt: skip


def too_small(stage: str, parts: int, world: Path, command: Command) -> None:
    """Disks that are full after each of so many parts of what the stage needs."""
    expected, place = whole(stage, world, command), world / "disk"
    before, after = pages_of(stage, place, world, command)
    sizes = sorted({before + 1 + (after - before - 2) * part // parts for part in range(parts)})
    met = 0
    for pages in sizes:
        with small(place, pages):
            prepared(stage, place, command, world)
            refused = run(*command(stage, place), folder=world)
            if refused.code != 0:  # what is deleted on the way makes room
                assert refused.clear, (pages, refused.code, refused.err)
                assert "same command again" in refused.err, (pages, refused.err)
                met += 1
            assert mount("-o", f"remount,size={1 << 26}", place)
            again = run(*command(stage, place), folder=world)
            assert again.code == 0, (pages, again.err)
            assert left(stage, place, again) == expected.left, pages
    assert met, (before, after, sizes)


SAID = "one clear sentence, exit 2; made larger, the same command leaves the same {what}"


@pytest.mark.parametrize("stage", long(STAGES, "read", "select", "train", "evaluate", "report"))
def test_a_small_disk(stage: str, world: Path, command: Command, happened: Happened):
    too_small(stage, 2, world, command)
    happened("a tmpfs that is too small", stage, SAID.format(what=WHAT[stage]))


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_small_disks_of_many_sizes(stage: str, world: Path, command: Command, happened: Happened):
    too_small(stage, 24, world, command)
    happened("a tmpfs that is too small, of up to 24 sizes", stage, SAID.format(what=WHAT[stage]))


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_became_read_only(stage: str, world: Path, command: Command, happened: Happened):
    place = world / "disk"
    with small(place, 1 << 14):
        prepared(stage, place, command, world)
        assert mount("-o", "remount,ro", place)
        refused = run(*command(stage, place), folder=world)
        assert refused.clear, (refused.code, refused.err)
        assert "Read-only" in refused.err
        assert mount("-o", "remount,rw", place)
        again = run(*command(stage, place), folder=world)
        assert again.code == 0, again.err
        assert left(stage, place, again) == whole(stage, world, command).left
    happened("a tmpfs that is read-only", stage, SAID.format(what=WHAT[stage]).replace("larger", "writable"))
