"""Directions kept on disk in fewer bits, under a cap, and what the bits cost in order."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32

from thresher.core.store import write_bytes, writing

Keep = Literal["none", "float32", "bf16", "int8", "sign"]
SAMPLE = 256  # rows a part whose scores are taken both ways


def bytes_per_row(keep: Keep, d: int) -> int:
    """Of one direction."""
    return {"none": 0, "float32": 4 * d, "bf16": 2 * d, "int8": d + 4, "sign": -(-d // 8)}[keep]


def reduced(x: Float32[torch.Tensor, "b d"], keep: Keep) -> dict[str, np.ndarray]:
    """Arrays whose bytes are `bytes_per_row`.

    bf16    the upper half of each float32, rounded to nearest
    int8    x / scale, scale = the row's largest over 127
    sign    one bit: whether it is above zero
    """
    if keep == "bf16":
        return {"codes": x.bfloat16().view(torch.int16).cpu().numpy()}
    if keep == "int8":
        scale = (x.abs().amax(dim=1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        return {"codes": (x / scale[:, None]).round().to(torch.int8).cpu().numpy(), "scale": scale.cpu().numpy()}
    if keep == "sign":
        return {"codes": np.packbits((x > 0).cpu().numpy(), axis=1)}
    return {"codes": x.cpu().numpy()}


def restored(codes: dict[str, np.ndarray], keep: Keep, d: int) -> Float32[torch.Tensor, "b d"]:
    """Directions again, of length one where bits were lost."""
    array = codes["codes"]
    if keep == "float32":
        return torch.from_numpy(array)
    if keep == "bf16":
        x = torch.from_numpy(array).view(torch.bfloat16).float()
    elif keep == "int8":
        x = torch.from_numpy(array).float() * torch.from_numpy(codes["scale"])[:, None]
    else:
        x = torch.from_numpy(np.unpackbits(array, axis=1, count=d).astype(np.float32)) * 2 - 1
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(1e-30)


class Shelf:
    """A folder of kept directions: one file a part and checkpoint, whole or not there."""

    def __init__(self, folder: Path, keep: Keep, cap: float) -> None:
        self.folder, self.keep, self.cap = folder, keep, cap

    def read(self, name: str) -> tuple[dict[str, np.ndarray], float] | None:
        """Codes and what they had cost in FLOPs, if they are there."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            return None
        with np.load(path) as file:
            codes = {key: file[key] for key in file.files}
        return codes, float(codes.pop("flops"))

    def write(self, name: str, codes: dict[str, np.ndarray], flops: float) -> bool:
        """Keep them, unless the cap would be passed."""
        size = sum(array.nbytes for array in codes.values())
        if self.used() + size > self.cap:
            return False
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / f".{name}.{os.getpid()}.tmp.npz"
            try:
                np.savez(temporary, **codes, flops=np.float64(flops))
                os.replace(temporary, self.folder / f"{name}.npz")
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def used(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.glob("*.npz"))

    def note_sample(self, name: str, exact: np.ndarray, kept: np.ndarray) -> None:
        """Scores of a part's first rows both ways, for `agreement`."""
        sample = {"exact": exact[:SAMPLE].tolist(), "kept": kept[:SAMPLE].tolist()}
        write_bytes(self.folder / f"{name}.json", json.dumps(sample).encode())

    def agreement(self) -> dict[str, float]:
        """Spearman between scores from kept and from exact directions, and over how many rows."""
        parts = [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]
        exact = np.concatenate([np.asarray(part["exact"]) for part in parts]) if parts else np.zeros(0)
        kept = np.concatenate([np.asarray(part["kept"]) for part in parts]) if parts else np.zeros(0)
        return {"spearman": spearman(exact, kept), "rows": float(len(exact))}


def spearman(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Correlation of ranks, ties at their mean; 1 where there is nothing to order."""
    if len(a) < 2:
        return 1.0
    ranks = [_ranks(values) for values in (a, b)]
    spread = [float(np.std(r)) for r in ranks]
    return float(np.corrcoef(*ranks)[0, 1]) if min(spread) > 0 else 1.0


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
