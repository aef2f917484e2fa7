"""A selection made again from its folder and the store, with the losses under its trajectory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float, Int

from thresher import choosing, pipeline
from thresher.choosing import Choice
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import StoreError
from thresher.models import load
from thresher.setting import Setting, Sources
from thresher.signals.recording import Recording
from thresher.signals.trajectory import Trajectory
from thresher.training.recipe import Recipe


def reopened(folder: Path, store: Store, pool: str | None = None) -> Choice:
    """The choice a folder holds, made again from the store.

    Raises:
        StoreError: it is none, its pool has changed, or other rows come out.
    """
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        table = pq.read_table(folder / "scores.parquet", columns=["chosen"])
        request, fingerprint = card["request"], card["pool"]["fingerprint"]
    except (OSError, ValueError, KeyError) as problem:
        raise StoreError(f"{folder} is not a selection's folder: {problem}.") from problem
    named: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in request["sources"].items()
    }
    setting = Setting.open(
        Sources(**(named | ({"pool": pool} if pool else {}))), store=store, recipe=Recipe.from_dict(request["recipe"])
    )
    if setting.pool.fingerprint != fingerprint:
        raise StoreError(f"the pool {setting.pool.name} has changed since {folder} was chosen: choose again.")
    choice = choosing.choose(
        setting, card["method"], request["budget"], seed=card["seed"], overrides=request["overrides"]
    )
    was = np.flatnonzero(table["chosen"].to_numpy())
    if not np.array_equal(np.sort(choice.index), was):
        raise StoreError(f"{folder} was chosen otherwise: the same method gives other rows now. Choose again.")
    return choice


@dataclass(frozen=True)
class Curves:
    """Loss over time of the rows that could be chosen, as the proxy was recorded."""

    values: Float[np.ndarray, "n t"]
    steps: list[int]
    proxy: Recording
    total: int  # steps of the proxy's run


def trajectory_of(choice: Choice) -> Curves | None:
    """The plain losses under a trajectory, whatever form of them was clustered."""
    signal = next((signal for signal in choice.signals if isinstance(signal, Trajectory)), None)
    if signal is None:
        return None
    plain = Trajectory(recording=signal.recording)
    measured = pipeline.measure(plain, rows_of(choice), choice.selection.target, store=choice.setting.store)
    steps = [int(step) for step in measured.manifest["account"]["steps"]]
    steps = steps[len(steps) - measured.values.shape[1] :]  # the untrained proxy's is left out
    return Curves(np.asarray(measured.values), steps, plain.run, int(measured.manifest["account"]["total_steps"]))


def rows_of(choice: Choice) -> Pool:
    """The pool as the pipeline measured it."""
    pool, selection = choice.setting.pool, choice.selection
    return pool if len(selection.kept) == len(pool) else pool.without(selection.excluded)


def answer_tokens(choice: Choice) -> Int[np.ndarray, " n"]:
    """(n,) of every pool row, as the proxy reads it."""
    signal = next(signal for signal in choice.signals if isinstance(signal, Trajectory))
    return load.counted(signal.run.model, choice.setting.pool, signal.run.max_tokens).answer_tokens()
