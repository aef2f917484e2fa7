"""Test rows of a run's tasks that stand in its pool or in what was chosen: said before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from thresher.choosing import fault_of
from thresher.core.pool import Pool
from thresher.core.store import write_bytes
from thresher.data.contamination import Contamination, contamination, said
from thresher.data.read import load_pool
from thresher.evaluation.task import Task
from thresher.evaluation.template import asked
from thresher.setting import Setting
from thresher.spec import Spec

FILE = "contamination.json"


def leave(spec: Spec, setting: Setting, out: Path, say: Callable[[str], None]) -> None:
    """contamination.json in a run's folder: per task what the pool holds, and per selection what was chosen of it."""
    found: dict[str, tuple[Task, Contamination]] = {}
    for task in spec.tasks:
        if task.data not in found:
            found[task.data] = task, contamination(setting.pool, _test_rows(task, setting))
    folders = [card.parent for card in sorted(out.glob("selections/*/card.json"))]
    chosen = {one.name: _chosen(one) for one in folders if fault_of(one) is None}  # a damaged one is chosen again
    lines = []
    for task, one in found.values():
        within = {name: one.within(rows) for name, rows in chosen.items()}
        lines.append({"task": task.task, **one.to_dict(), "selections": {k: n for k, n in within.items() if n}})
        if sentence := said(lines[-1]):
            say(sentence)
    about = {"pool": setting.pool.name, "selections": len(chosen), "tasks": lines}
    write_bytes(out / FILE, json.dumps(about, indent=1, ensure_ascii=False).encode())


def _test_rows(task: Task, setting: Setting) -> Pool:
    rows = task.rows(load_pool(task.data, cache=setting.store.root, format=task.reading))
    return asked(replace(task, shots=0, system=None), rows, None)


def _chosen(folder: Path) -> np.ndarray:
    """(k,) rows of the pool."""
    table = pq.read_table(folder / "scores.parquet", columns=["row", "chosen"])
    return np.asarray(table["row"].to_numpy()[table["chosen"].to_numpy(zero_copy_only=False)])
