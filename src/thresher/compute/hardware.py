"""Devices: peak FLOP/s, memory and an example price, read from hardware.toml; and this machine, measured."""

from __future__ import annotations

import os
import re
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from thresher.core.suggest import unknown
from thresher.errors import UnknownName


@dataclass(frozen=True)
class Hardware:
    """One device. The price is an example; `replace` it with your own."""

    name: str
    peak_flops: float  # per second, 16-bit matrix products, dense
    peak_fp32_flops: float
    memory_bytes: float
    usd_per_hour: float
    sheet: str  # where the peaks are from

    def peak(self, dtype: str = "bfloat16") -> float:
        """FLOP/s of matrix products in this dtype."""
        return self.peak_fp32_flops if dtype in ("float32", "float64") else self.peak_flops


def names() -> list[str]:
    """The devices of the table, and `cpu`, which is measured."""
    return sorted([*_table(), "cpu"])


def get(name: str) -> Hardware:
    """A device by name; `cpu` measures this machine (about a third of a second, once).

    Raises:
        UnknownName: not in the table.
    """
    if name == "cpu":
        return measure_cpu()
    if name not in _table():
        raise UnknownName(unknown("hardware", name, names()))
    row = _table()[name]
    return Hardware(name, row["bf16"], row["fp32"], row["memory"], row["usd"], row["sheet"])


def detect() -> Hardware:
    """The GPU torch would use here, else the processor, measured.

    Raises:
        UnknownName: a GPU that is not in the table.
    """
    import torch

    if not torch.cuda.is_available():
        return measure_cpu()
    properties = torch.cuda.get_device_properties(0)
    return get(named(properties.name, properties.total_memory))


def named(device_name: str, memory_bytes: float) -> str:
    """The table's name of a device as its driver calls it (`NVIDIA H100 80GB HBM3` is `h100-sxm`).

    Raises:
        UnknownName: no line of the table fits.
    """
    words = set(re.findall(r"[a-z]+\d+[a-z]*|\d{4}|[a-z]+", device_name.lower()))
    for name in _table():
        model, _, form = name.partition("-")
        if model == "rtx":
            fits = form in words
        elif model == "h100":
            fits = "h100" in words and ("pcie" in words) == (form == "pcie")
        elif model == "a100":
            fits = "a100" in words and (memory_bytes > 60e9) == (form == "80gb")
        else:
            fits = model in words
        if fits:
            return name
    raise UnknownName(unknown("hardware", device_name, names()))


@cache
def measure_cpu(seconds: float = 0.3) -> Hardware:
    """This processor with the threads torch has now: its best rate of a large matrix product.

    Its price is 0 dollars an hour: replace it if the machine is rented.
    """
    import torch

    fp32 = _matmul_peak(torch.float32, seconds / 2)
    bf16 = _matmul_peak(torch.bfloat16, seconds / 2)
    memory = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    sheet = f"measured here, torch threads: {torch.get_num_threads()}"
    return Hardware("cpu", max(bf16, fp32), fp32, memory, 0.0, sheet)


def _matmul_peak(dtype: Any, seconds: float, size: int = 1024) -> float:
    """FLOP/s of the fastest of the products that fit in the time; the fastest is the least disturbed."""
    import torch

    left, right = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    best = _timed(lambda: left @ right)
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop:
        best = min(best, _timed(lambda: left @ right))
    return 2.0 * size**3 / best


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads((Path(__file__).parent / "hardware.toml").read_text(encoding="utf-8"))
