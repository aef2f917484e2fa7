"""Random bits that depend on a seed and a block's number alone, never on who asks for them, when, or on what device.

They come out of Philox, a counter put through a block cipher (Salmon et al. 2011), whose raw words NumPy keeps as they
are; any block can be made without those before it.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, UInt64

STREAMS = ("rademacher", "sjlt", "srht", "factored")


def words(seed: int, stream: str, block: int, n: int) -> UInt64[np.ndarray, " n"]:
    """Words of 64 random bits: those of this block of this stream, the first n of as many as one likes."""
    key = seed % 2**64 | STREAMS.index(stream) << 64
    return np.random.Philox(key=key, counter=block << 128).random_raw(n)


def signs(drawn: UInt64[np.ndarray, " words"], n: int) -> Float32[torch.Tensor, " n"]:
    """+1.0 and -1.0 by the first n bits, lowest bit first."""
    bits = np.unpackbits(drawn.astype("<u8", copy=False).view(np.uint8), count=n, bitorder="little")
    return torch.from_numpy(bits).float().mul_(-2.0).add_(1.0)
