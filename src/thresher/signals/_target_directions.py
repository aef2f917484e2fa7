"""The target's side: plain gradients, projected, of length one; or their means over each target group."""

from __future__ import annotations

import json
import logging
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int

from thresher.compute import meter
from thresher.core.pool import Pool
from thresher.core.store import write_bytes, writing
from thresher.errors import PoolError
from thresher.models import load as models
from thresher.signals._checkpoints import Run
from thresher.signals._row_features import Reading, directions

log = logging.getLogger(__name__)


def columns(target: Pool, per: str) -> int:
    """Target rows, or target groups; rows without a group are a group of their own."""
    return len(np.unique(target.group_index())) if per == "group" else len(target)


def target_directions(run: Run, numbers: tuple[int, ...], target: Pool, per: str, how: Reading, folder: Path) -> Path:
    """A file (t, columns, d) float32, made once; what making it cost is on the meter in any case.

    Target rows whose answers lie outside the window are no part of their groups' means; `left_out` names them.

    Raises:
        PoolError: a target group without a row that has an answer.
    """
    crc = zlib.crc32(target.group_index().tobytes())
    what = repr((numbers, target.fingerprint, crc, per, replace(how, memory=0)))
    path = folder / "target" / f"{run.signed(what)}.npy"
    note = path.with_suffix(".json")
    if note.exists():
        meter.count(flops=json.loads(note.read_text())["flops"])
        return path
    read = _answered(run, target, how) if per == "group" else np.arange(len(target))
    column = _columns(target)[read] if per == "group" else read
    with meter.block("target gradients") as block:
        made = np.stack([_at(run, number, target.take(read), column, how) for number in numbers])
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp.npy")
        np.save(temporary, made)
        os.replace(temporary, path)
    names = target.ids()
    unread = [names[i] for i in np.setdiff1d(np.arange(len(target)), read)]
    if unread:
        log.info("%d target rows have no answer within %d tokens, first %s", len(unread), how.max_tokens, unread[0])
    write_bytes(note, json.dumps({"flops": block.flops, "left_out": unread}).encode())
    return path


def left_out(path: Path) -> list[str]:
    """Ids of target rows that the file at `path` says nothing about."""
    return list(json.loads(path.with_suffix(".json").read_text()).get("left_out", ()))


def _answered(run: Run, target: Pool, how: Reading) -> Int[np.ndarray, " m"]:
    """Rows with an answer token within the window, of every group one at least.

    Raises:
        PoolError: a group without such a row.
    """
    has = models.encoded(run.base, target, how.max_tokens).answer_tokens() > 0
    column = _columns(target)
    bare = np.setdiff1d(column, column[has])
    if len(bare):
        row = int(np.flatnonzero(column == bare[0])[0])
        raise PoolError(
            f"{len(bare)} of {int(column.max()) + 1} target groups have no row with an answer within {how.max_tokens} "
            f"tokens, first that of {target.ids()[row]}. Raise warmup.max_tokens, or leave the group out."
        )
    return np.flatnonzero(has)


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
