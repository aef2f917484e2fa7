"""The target's side: plain gradients, projected, of length one; or their means over each target group."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int

from thresher.compute import meter
from thresher.core.pool import Pool
from thresher.core.store import write_bytes, writing
from thresher.signals._checkpoints import Run
from thresher.signals._row_features import Reading, directions


def columns(target: Pool, per: str) -> int:
    """Target rows, or target groups; rows without a group are a group of their own."""
    return len(np.unique(target.group_index())) if per == "group" else len(target)


def target_directions(run: Run, numbers: tuple[int, ...], target: Pool, per: str, how: Reading, folder: Path) -> Path:
    """A file (t, columns, d) float32, made once; what making it cost is on the meter in any case.

    Every row of the target has an answer within the window: the pipeline has left out the others.
    """
    crc = zlib.crc32(target.group_index().tobytes())
    what = repr((numbers, target.fingerprint, crc, per, replace(how, memory=0)))
    path = folder / "target" / f"{run.signed(what)}.npy"
    note = path.with_suffix(".json")
    if note.exists():
        meter.count(flops=json.loads(note.read_text())["flops"])
        return path
    column = _columns(target) if per == "group" else np.arange(len(target))
    with meter.block("target gradients") as block:
        made = np.stack([_at(run, number, target, column, how) for number in numbers])
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.npy")
        np.save(temporary, made)
        os.replace(temporary, path)
    write_bytes(note, json.dumps({"flops": block.flops}).encode())
    return path


def _at(
    run: Run, number: int, target: Pool, column: Int[np.ndarray, " q"], how: Reading
) -> Float32[np.ndarray, "columns d"]:
    sums = None
    for places, y in directions(run, number, target, "plain", how):
        near = y.cpu().numpy()
        if sums is None:
            sums = np.zeros((int(column.max()) + 1, near.shape[1]))
        np.add.at(sums, column[places], near)
    assert sums is not None, "a target without rows is refused when it is read"
    return (sums / np.bincount(column)[:, None]).astype(np.float32)


def _columns(target: Pool) -> Int[np.ndarray, " q"]:
    """Each row's group, numbered as the pipeline orders them."""
    return np.unique(target.group_index(), return_inverse=True)[1]
