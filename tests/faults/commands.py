"""The command of every stage, and what it leaves."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from injected import Ended, run
from planted import counted, warm

Command = Callable[[str, Path], tuple[object, ...]]  # command(stage, place)
Happened = Callable[[str, str, str], None]  # happened(fault, stage, what)
STAGES = ("read", "measure", "select", "train", "evaluate", "run", "race", "report")
JOBS = ("run", "race")  # many stages in one


def long(stages: Iterable[str], *also: str) -> list[object]:
    """Those that take long run with `make faults` only."""
    return [
        pytest.param(stage, marks=pytest.mark.faults) if stage in (*JOBS, *also) else stage for stage in stages
    ]


LONG = long(STAGES)


WHAT = {
    "read": "pool", "measure": "bytes", "select": "bytes", "train": "weights, bit for bit", "evaluate": "scores",
    "run": "scores and costs", "race": "scores and costs", "report": "page",
}  # fmt: skip


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
    if stage in JOBS:
        lines = pq.read_table(out / "results.parquet").to_pylist()
        return [(one["method"], one["rows"], one["score"], one["total_flops"]) for one in lines]
    return (out / "report.html").read_bytes()


@dataclass(frozen=True)
class Whole:
    """A stage to which nothing happened: what it leaves, in how many writes, and changes of any kind."""

    left: object
    writes: int
    changes: int


_known: dict[str, Whole] = {}
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


def whole(stage: str, world: Path, command: Command) -> Whole:
    """The stage when nothing happens; found out once a session."""
    if stage not in _known:
        place = world / "whole"
        prepared(stage, place, command, world)
        ended = run(*command(stage, place), folder=world, fault=counted(world / "writes", place))
        assert ended.code == 0, ended.err
        _known[stage] = Whole(left(stage, place, ended), *warm(world / "writes"))
    return _known[stage]


def known_tests() -> set[str]:
    """`file.py::test` of every test of this folder."""
    return {
        f"{path.name}::{node.name}"
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
