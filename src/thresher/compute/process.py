"""Settings of this process that decide its speed and must come before torch."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
# Activations stay, logits of a whole vocabulary go back: with 1 GiB here a training on rows of 20 to 1,024 tokens grew
# to 11 GB, with this to 6 (LOG.md).
_MMAP_BYTES = 1 << 27
_TRIM_BYTES = 1 << 29


@dataclass(frozen=True)
class Settled:
    """What `settle` did, for the card of a run."""

    wait_policy: str  # what OpenMP will read: ours, or the user's own
    threads: int | None  # None: left to the libraries
    keeps_memory: bool  # freed activations stay with the process
    before_torch: bool  # False: OpenMP had started already and reads nothing any more


def settle(threads: int | None = None, keep_memory: bool = True) -> Settled:
    """Let waiting OpenMP threads sleep, and keep freed memory; call it before torch is imported.

    Spinning threads cost up to twice the time on shared cores, and giving big activations back to the kernel
    at every free costs a quarter of a forward pass (measured, PERFORMANCE section 0). Neither changes a
    value. Variables the user has set stay; an explicit `threads` wins over them. The allocator is set on
    Linux with glibc only.
    """
    before_torch = "torch" not in sys.modules
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if threads is not None:
        assert threads > 0, f"threads must be above zero, got {threads}"
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
        if not before_torch:
            sys.modules["torch"].set_num_threads(threads)
    kept = keep_memory and _keep_freed_memory()
    return Settled(os.environ["OMP_WAIT_POLICY"], threads, kept, before_torch)


def _keep_freed_memory() -> bool:
    """Raise glibc's thresholds for mapping and trimming; False where the C library is another one."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    mapped = libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    trimmed = libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
    return bool(mapped and trimmed)
