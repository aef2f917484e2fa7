"""The run that makes a recording: trains the proxy, stops at the points, reads the rows."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from thresher.compute import meter
from thresher.core.pool import Pool
from thresher.data.chat import Encoded
from thresher.errors import NonFinite
from thresher.models import load
from thresher.models.device import choose_device
from thresher.models.loss import row_statistics, three_numbers
from thresher.models.quiet import quiet
from thresher.signals._points import Grid
from thresher.signals._recorded_files import Files
from thresher.signals.recording import Recording
from thresher.training.at_steps import AtSteps, Snapshot
from thresher.training.in_flight import Watch
from thresher.training.sft import train


class Recorder:
    """One run, or what an interrupted one left of it."""

    def __init__(self, signal: Recording, files: Files, grid: Grid, pool: Pool, near: Pool | None) -> None:
        self.signal, self.files, self.grid, self.pool, self.near = signal, files, grid, pool, near
        self.tokens = load.encoded(signal.model, pool, signal.max_tokens)
        self.order = signal.order(pool)  # of the training: its row i is the pool's row order[i]
        self.flight = signal.capture == "recorded"
        self._snapshot: Snapshot | None = None
        self._open = ExitStack()
        self._segment: Any = None

    def run(self) -> None:
        """Train as far as the last point."""
        out = self.files.folder / "proxy"
        watch = Watch(self._seen) if self.flight else None
        if self.flight:
            self.files.start_flight(len(self.grid.steps), len(self.pool))
        with quiet(), self._open:
            self._start_segment()
            train(
                self.signal.model, [(self.tokens.take(self.order), self.signal.recipe())], seed=self.signal.seed,
                out=out, callbacks=[AtSteps(self._stops(), self._stop)], watch=watch,
            )  # fmt: skip
        for folder in (out, out.with_name("proxy.part")):
            shutil.rmtree(folder, ignore_errors=True)

    def _stops(self) -> list[int]:
        """Where rows are read; in flight, where a checkpoint is kept."""
        if not self.flight:
            return list(self.grid.read)
        points = min(self.signal.points, self.grid.total)
        return [round((j + 1) * self.grid.total / points) for j in range(points)]

    def _stop(self, step: int, network: Any) -> None:  # noqa: ANN401
        if self.files.done(step):  # read before the last kill, after the last checkpoint
            return
        self._open.close()
        trained = self._segment.receipt()
        with meter.block("recording: read rows") as block:
            if not self.flight:
                self._read(step, network)
        if self.flight and step == self.grid.total:
            self.files.end_flight(self.grid.total)
        self.files.finish(step, trained, block.receipt())
        self._start_segment()

    def _start_segment(self) -> None:
        self._segment = self._open.enter_context(meter.block("recording: train proxy", kind="train"))

    def _read(self, step: int, network: Any) -> None:  # noqa: ANN401
        if self._snapshot is None:
            device, dtype = choose_device("auto"), self.signal.identity()["dtype"]
            self._snapshot = Snapshot(self.signal.model, self.signal.recipe(), device=device, dtype=dtype)
        opened = self._snapshot.of(network)
        self.files.save(f"{step:06d}.npy", self._numbers(opened, self.tokens, self.pool, step))
        if self.near is not None:
            tokens = load.encoded(self.signal.model, self.near, self.signal.max_tokens)
            self.files.save(f"{step:06d}.target.npy", self._numbers(opened, tokens, self.near, step))

    def _numbers(self, opened: load.Opened, tokens: Encoded, rows: Pool, step: int) -> Float[np.ndarray, "n 3"]:
        sums, counts = row_statistics(opened, tokens, three_numbers)
        values = (sums / counts[:, None]).astype(np.float32)
        self._check(values, np.arange(len(rows)), rows, step)
        return values

    def _seen(self, step: int, rows: Int[np.ndarray, " b"], values: Float[np.ndarray, "b 3"]) -> None:
        """What training saw of its rows before its step `step + 1`."""
        place = self.order[rows]
        self._check(values, place, self.pool, step)
        epoch = step // self.grid.steps[0]
        if epoch < len(self.grid.steps):  # what is trained beyond the last whole epoch is left out
            self.files.write_flight(epoch, step, place, values)

    def _check(self, values: np.ndarray, place: Int[np.ndarray, " b"], rows: Pool, step: int) -> None:
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if bad.size:
            rate = self.signal.rate()
            raise NonFinite(
                f"the proxy's loss is not a number at step {step} of {self.grid.total} for {bad.size} of {len(values)} "
                f"rows, first ids {rows.take(place[bad[:5]]).ids()}. Where it is so for all, the proxy has diverged: "
                f"lower recording.learning_rate (it is {rate:g}; try {rate / 10:g}). Points read before are kept."
            )
