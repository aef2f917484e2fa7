"""The command of every stage, and what it leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from injected import Ended, counted, run

Command = Callable[[str, Path], tuple[object, ...]]  # command(stage, place)
Happened = Callable[[str, str, str], None]  # happened(fault, stage, what)
STAGES = ("read", "measure", "select", "train", "evaluate", "run", "report")
LONG = [pytest.param(stage, marks=pytest.mark.faults) if stage == "run" else stage for stage in STAGES]  # its jobs


def middle(writes: int) -> int:
    """A write at which a stage is well under way."""
    return max(1, 2 * writes // 3)


def left(stage: str, place: Path, ended: Ended) -> object:
    """What a stage leaves, without times: the same whenever and however often it was stopped."""
    import pyarrow.parquet as pq

    out = place / "out"
    if stage == "read":
        return ended.out
    if stage == "measure":
        return [path.read_bytes() for path in sorted((place / "store").glob("loss-*/values.npy"))]
    if stage == "select":
        return [(out / name).read_bytes() for name in ("selected.jsonl", "scores.parquet")]
    if stage == "train":
        return (out / "model.safetensors").read_bytes()
    if stage == "evaluate":
        return [(task["task"], task["score"]) for task in json.loads(ended.out)]
    if stage == "run":
        lines = pq.read_table(out / "results.parquet").to_pylist()
        return [(one["method"], one["rows"], one["score"], one["total_flops"]) for one in lines]
    return (out / "report.html").read_bytes()


_known: dict[str, tuple[object, int]] = {}
_made: list[Path] = []


def prepared(stage: str, place: Path, command: Command, folder: Path) -> None:
    """What a stage rests on: a report needs something to report of, the same every time."""
    place.mkdir(parents=True, exist_ok=True)
    if stage == "report":
        if not _made:
            done = run(*command("select", folder / "made"), folder=folder)
            assert done.code == 0, done.err
            _made.append(folder / "made" / "out")
        shutil.copytree(_made[0], place / "out")


def whole(stage: str, world: Path, command: Command) -> tuple[object, int]:
    """What the stage leaves when nothing happens, and how many writes that takes; found out once a session."""
    if stage not in _known:
        place = world / "whole"
        prepared(stage, place, command, world)
        ended = run(*command(stage, place), folder=world, fault=counted(world / "writes", place))
        assert ended.code == 0, ended.err
        _known[stage] = left(stage, place, ended), json.loads((world / "writes").read_text())
    return _known[stage]
