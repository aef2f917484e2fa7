"""The most memory this process has held since a moment."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def cuda() -> Any | None:
    """`torch.cuda` if this process has already used a device, else None; imports nothing."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return torch.cuda


def peak_bytes() -> int:
    """The high-water mark since `reset_peak`: of the GPU where one is used, else of resident memory."""
    gpu = cuda()
    if gpu is not None:
        return int(gpu.max_memory_allocated())
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak() -> str:
    """Start a new high-water mark; returns which measure `peak_bytes` gives from now on.

    `cuda`: torch's allocator, this device. `rss`: resident memory since the reset. `process`: resident memory
    since the process started, where the kernel has no reset (not Linux, or /proc/self/clear_refs may not be
    written).
    """
    gpu = cuda()
    if gpu is not None:
        gpu.reset_peak_memory_stats()
        return "cuda"
    try:
        _CLEAR.write_text("5")  # man 5 proc: resets the peak resident set size
    except OSError:
        return "process"
    return "rss"
