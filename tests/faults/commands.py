"""The command of every stage, and what it leaves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from injected import Ended, run

Command = Callable[[str, Path], tuple[object, ...]]  # command(stage, place)
Happened = Callable[[str, str, str], None]  # happened(fault, stage, what)
STAGES = ("read", "measure", "select", "train", "evaluate", "run", "report")


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


def prepared(stage: str, place: Path, command: Command, folder: Path) -> None:
    """What a stage rests on: a report needs something to report of, the same every time."""
    place.mkdir(parents=True, exist_ok=True)
    if stage == "report":
        made = folder / "made"
        if not made.exists():
            done = run(*command("select", made), folder=folder)
            assert done.code == 0, done.err
        shutil.copytree(made / "out", place / "out")
