"""Seconds, tokens, FLOPs and peak memory of a block of work -> Receipt.

Blocks nest: what is counted in an inner one also reaches every block around it. Counting outside any block
does nothing. The stack is a context variable, so threads started inside a block count for themselves only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import numpy as np

from thresher.compute import memory
from thresher.core.cost import Receipt

WorkKind = Literal["forward", "train", "generate", "cpu"]

_share = 1.0

_open_blocks: ContextVar[tuple[Block, ...]] = ContextVar("thresher_open_blocks", default=())


class Block:
    """One metered stage, open until its `with` ends."""

    def __init__(self, stage: str, estimated_flops: float | int, kind: str) -> None:
        self.stage, self.estimated_flops, self.kind = stage, estimated_flops, kind
        self.flops, self.tokens, self.peak_bytes, self.halved = 0.0, 0, 0, 0
        self.memory_source = ""  # see memory.reset_peak
        self._started, self._cpu_started = time.perf_counter(), _cpu_seconds()
        self._spent: tuple[float, float] | None = None

    def receipt(self) -> Receipt:
        """What was done so far; final once the block has ended."""
        seconds, cpu_seconds = self._spent or self._elapsed()
        seconds *= _share
        return Receipt(
            stage=self.stage,
            estimated_flops=float(self.estimated_flops),
            flops=self.flops,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            tokens=self.tokens,
            peak_bytes=max(self.peak_bytes, 0 if self._spent else memory.peak_bytes()),
            device=device_name(),
            kind=self.kind,
            halved=self.halved,
        )

    def _elapsed(self) -> tuple[float, float]:
        return time.perf_counter() - self._started, _cpu_seconds() - self._cpu_started

    def _close(self) -> None:
        self._spent = self._elapsed()


@contextmanager
def block(stage: str, estimated_flops: float | int = 0.0, kind: WorkKind = "forward") -> Iterator[Block]:
    """Meter what runs inside; ask the block for its receipt.

    with meter.block("loss over the pool", estimated_flops=1e15) as block:
        ...
    receipt = block.receipt()
    """
    around = _open_blocks.get()
    _note_peak(around)  # the reset below would lose what the blocks around have reached
    source = memory.reset_peak()
    new = Block(stage, estimated_flops, kind)
    new.memory_source = source
    token = _open_blocks.set((*around, new))
    try:
        yield new
    finally:
        _open_blocks.reset(token)
        new._close()
        _note_peak((*around, new))


def has_share(share: float) -> None:
    """Say that this process has a share of the machine (or of a device), beside others that do the same work.

    Its seconds then count by that share: those of all together are the time that passed.
    """
    global _share
    assert 0 < share <= 1, f"a share of the machine is above 0 and at most 1, got {share}"
    _share = share


def count(flops: float | int = 0.0, tokens: int | np.integer = 0, halved: int = 0) -> None:
    """Add work that has really run, padding included, to every open block; and batches that had to be halved."""
    for one in _open_blocks.get():
        one.flops += float(flops)
        one.tokens += int(tokens)
        one.halved += halved


def device_name() -> str:
    """The GPU this process uses, else `cpu`."""
    gpu = memory.cuda()
    return gpu.get_device_name() if gpu is not None else "cpu"


def _note_peak(blocks: tuple[Block, ...]) -> None:
    if blocks:
        peak = memory.peak_bytes()
        for one in blocks:
            one.peak_bytes = max(one.peak_bytes, peak)


def _cpu_seconds() -> float:
    """User and system time of this process, all its threads, and the children it has waited for."""
    return sum(os.times()[:4])
