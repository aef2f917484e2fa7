"""One signal's work on the parts of a pool: what is sent to a worker, once, wherever it runs."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thresher.compute import meter
from thresher.core import parcel
from thresher.core.cost import Cost
from thresher.core.method import Signal, name_of
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import NonFinite

ROW_SECONDS = 2e-5  # of a core, to read a row and make its messages (benchmarks/scale.py)
CORE_FLOPS = 2e10  # of a slow core: for deciding whether starting workers is worth its time, nothing else
PROCESS_BYTES, WEIGHT_COPIES = 8e8, 4  # of a worker with torch; weights in single precision, and activations
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")


@dataclass(frozen=True)
class PartWork:
    """Measures a part and writes it straight into the store; pickles small: of values below only the key is sent."""

    signal: Signal
    state: Any
    store: Store
    key: str
    size: int  # rows a part
    below: str | None = None  # the key of the inner signal's values
    estimate: Cost = Cost()
    rows: int = 0

    def __call__(self, number: int, rows: Pool) -> None:
        """Measure and write.

        Raises:
            NonFinite: a value is NaN or infinite; the message names the rows.
        """
        signal = self.signal
        with meter.block(f"{self.name}: part {number}", kind=signal.work) as part:  # type: ignore[arg-type]
            if self.below is None:
                values = np.asarray(signal.measure(self.state, rows))
            else:
                below, start = self.store.read(self.below), number * self.size
                own = below[start : start + len(rows)] if signal.inner_over == "pool" else below
                values = np.asarray(signal.measure_over(self.state, rows, own))
        _check(signal, values, rows)
        passing = parcel.made_here(self.store.root)
        if passing:
            self.store.part_size(self.key, self.size)
        self.store.write_part(self.key, number, values, part.receipt())
        if passing:
            self.store.forget_part(self.key, number)  # it is at the address

    @property
    def name(self) -> str:
        """Of the signal."""
        return name_of(self.signal).lstrip("_")

    @property
    def seconds(self) -> float:
        """About how long one core would take for all of it."""
        return self.rows * ROW_SECONDS + self.estimate.cpu_seconds + self.estimate.flops / CORE_FLOPS

    @property
    def on_model(self) -> bool:
        """Whether it would use an accelerator, where there is one."""
        return self.signal.work != "cpu"

    @property
    def memory(self) -> float:
        """About how many bytes a process with the signal's models takes."""
        return PROCESS_BYTES + WEIGHT_COPIES * sum(map(_weights, _paths(self.signal)))

    def packed(self) -> bytes:
        """For a worker on another machine: with what it needs of the store, where that has an address."""
        if self.store.away is None:
            return pickle.dumps(self)
        return parcel.packed(self, self.store, *([] if self.below is None else [self.store.values(self.below)]))

    @property
    def sends_rows(self) -> bool:
        """Whether rows must be sent, because a worker need not see the pool's file."""
        return self.store.away is not None

    def reachable(self) -> bool:
        """Whether the store can be seen from here: asked of each worker on another machine."""
        return self.sends_rows or (self.store.root / f"{self.key}.part" / "part_size").exists()


def _paths(values: Any) -> set[str]:
    """Folders and files that the fields of a signal name, and those of signals and settings in them."""
    found: set[str] = set()
    for value in (getattr(values, one.name) for one in fields(values)):
        if is_dataclass(value):
            found |= _paths(value)
        elif isinstance(value, str) and os.path.exists(value):
            found.add(value)
    return found


def _weights(path: str) -> int:
    """Bytes of the weight files in a folder, or of the file."""
    here = Path(path)
    files = [here] if here.is_file() else [file for pattern in WEIGHTS for file in here.glob(pattern)]
    return sum(file.stat().st_size for file in files)


def _check(signal: Signal, values: np.ndarray, rows: Pool) -> None:
    name = name_of(signal)
    assert len(values) == len(rows), f"{name} gave {values.shape} for {len(rows)} rows"
    flat = values.reshape(len(values), -1)
    bad = np.flatnonzero(~np.isfinite(flat).all(axis=1))
    if bad.size:
        ids = rows.take(bad[:5]).ids()
        raise NonFinite(
            f"{name} gave NaN or infinity for {bad.size} of {len(rows)} rows, first ids {ids}. "
            "Look at these rows and the scorer (a diverged training, a broken weight file); nothing was written."
        )
