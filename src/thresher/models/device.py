"""Which device and which number format a model is read in."""

from __future__ import annotations

import torch

from thresher.compute.flops import Architecture
from thresher.errors import ModelError


def choose_device(device: str) -> str:
    """Auto is a CUDA card, else an Apple one, else the processor.

    Raises:
        ModelError: it cannot be opened or used.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise ModelError(
            f"there is no device {device!r} here. There is: auto, {', '.join(k for k in there if there[k])}."
        )
    return device


def choose_dtype(dtype: str, device: str, shape: Architecture) -> str:
    """Auto is bfloat16 where it is faster: cards, and processors that multiply it natively; else float32.

    Decided by what the processor says of itself and the model's width, never by a stopwatch, so that the same
    machine always gives the same numbers.

    Raises:
        ModelError: it cannot be opened or used.
    """
    known = {"float32": "float32", "fp32": "float32", "bfloat16": "bfloat16", "bf16": "bfloat16", "float16": "float16"}
    if dtype != "auto":
        if dtype not in known:
            raise ModelError(f"unknown dtype {dtype!r}. Known: auto, {', '.join(known)}.")
        return known[dtype]
    if device == "cpu":
        return "bfloat16" if native_bfloat16() and shape.width >= 512 else "float32"
    return "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float32"


def native_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32: AMX, or the AVX-512 instructions for it."""
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
