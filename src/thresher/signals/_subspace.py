"""The leading directions of a few very long vectors, by way of their inner products."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32

from thresher.compute import flops, meter
from thresher.core.store import writing

COLUMNS = 1 << 18  # parameters worked on at once


@dataclass(frozen=True)
class Subspace:
    """An orthonormal basis on disk, and the vectors' coordinates in it.

    G G^T = U S^2 U^T,  basis = (G^T U_r S_r^-1)^T,  rows = U_r S_r
    """

    rank: int
    wanted: int
    trace: float  # share of the vectors' energy that the basis holds
    rows: Float[np.ndarray, "q r"]

    def about(self) -> dict[str, int | float]:
        """Plain values."""
        return {"rank": self.rank, "wanted": self.wanted, "trace": self.trace}

    @staticmethod
    def basis(home: Path) -> Float32[torch.Tensor, "r p"]:
        """Read, as one matrix in memory."""
        return torch.from_numpy(np.load(home / "basis.npy"))


def subspace(
    vectors: Iterable[tuple[np.ndarray, torch.Tensor]], q: int, p: int, *, rank: int, most: int, trace: float,
    fitting: Callable[[int], int], home: Path,
) -> Subspace:  # fmt: skip
    """The basis of q vectors of p numbers, written to `home`/basis.npy; the vectors lie on disk meanwhile.

    Args:
        vectors: (which, (b, p)) batch after batch.
        q: how many there are.
        p: how long they are.
        rank: directions wanted; 0 takes as many as hold `trace` of the energy.
        most: and no more than this.
        trace: see rank.
        fitting: how many of so many have room.
        home: a folder of its own; it is emptied.
    """
    with writing(home):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        held = np.lib.format.open_memmap(home / "vectors.npy", "w+", np.float32, (q, p))
        for which, g in vectors:
            held[which] = g.cpu().numpy()
        energy, u = _eigen(_gram(held))
        wanted = min(rank or min(_holding(energy, trace), most), _positive(energy))
        r = fitting(wanted)
        basis = np.lib.format.open_memmap(home / "basis.npy", "w+", np.float32, (r, p))
        turn = (u[:, :r] / np.sqrt(energy[:r])).T  # (r, q)
        for at in range(0, p, COLUMNS):
            basis[:, at : at + COLUMNS] = turn @ held[:, at : at + COLUMNS].astype(np.float64)
        meter.count(flops=flops.inner(q, r, p))
        basis.flush()
        del held, basis
        (home / "vectors.npy").unlink()
    return Subspace(r, wanted, float(energy[:r].sum() / energy.sum()), u[:, :r] * np.sqrt(energy[:r]))


def _gram(held: np.ndarray) -> Float[np.ndarray, "q q"]:
    q, p = held.shape
    gram = np.zeros((q, q))
    for at in range(0, p, COLUMNS):
        some = held[:, at : at + COLUMNS].astype(np.float64)
        gram += some @ some.T
    meter.count(flops=flops.inner(q, q, p))
    return gram


def _eigen(gram: Float[np.ndarray, "q q"]) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, "q q"]]:
    """Largest first, none below zero; signs fixed, so that the same vectors give the same basis."""
    energy, u = np.linalg.eigh(gram)
    energy, u = np.maximum(energy[::-1], 0.0), u[:, ::-1]
    largest = u[np.abs(u).argmax(axis=0), np.arange(len(u))]
    return energy, u * np.where(largest < 0, -1.0, 1.0)


def _holding(energy: Float[np.ndarray, " q"], trace: float) -> int:
    """Smallest rank with that share of the sum."""
    share = np.cumsum(energy) / energy.sum()
    return int(np.searchsorted(share, trace * (1 - 1e-12)) + 1)


def _positive(energy: Float[np.ndarray, " q"]) -> int:
    """Directions that are there at all: float32 vectors say nothing below a part in a million."""
    return int((energy > energy[0] * 1e-12).sum())
