"""GIST: cosines inside the subspace that the target's own gradients span."""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32

from thresher.compute import flops, meter
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.core.store import write_bytes
from thresher.errors import FieldError
from thresher.signals._checkpoints import Run
from thresher.signals._on_warmup import OnWarmup
from thresher.signals._row_features import gradients
from thresher.signals._subspace import Subspace, subspace
from thresher.signals._target_directions import columns

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scoring:
    """What scoring a part needs: small; the basis lies in a file."""

    run: Run
    folder: str  # basis.npy (r, p), groups.npy (groups, r)
    rank: int
    wanted: int  # before memory was looked at
    trace: float  # share of the target gradients' energy that the basis holds


@dataclass(frozen=True, kw_only=True)
class Gist(OnWarmup):
    """Cosine of a row's gradient with the target's, after both are projected onto the target's leading directions.

        G G^T = U S^2 U^T      B = G^T U_r S_r^-1                    G (q, p): the target rows' plain gradients
        x_i = g_i B            y_z = row z of U_r S_r
        affinity_iM = cos(x_i, mean over z in M of y_z)

    Source:  Min et al. 2026, "GIST", arXiv:2602.18584.
    Differs: r is the smallest rank that holds `trace` of the energy, at most min(q, 150); the authors' code takes 150
             unless told otherwise. Where B does not fit into `max_bytes`, r is lowered to what does; the card says so.
    Cost:    G(N_s, D + D_q) + 2 q^2 p + 2 q p r + 2 n p r; the warm-up is billed as its own signal.
    """

    rank: Annotated[int, "directions kept; 0 takes as many as hold `trace`"] = 0
    most: Annotated[int, "and no more than this"] = 150
    trace: Annotated[float, "share of the target gradients' energy"] = 0.95
    max_bytes: Annotated[float, "that the basis may take in memory, 4 p r"] = 4e9

    kind: ClassVar[Kind] = "affinity"
    needs_target: ClassVar[bool] = True
    per_group: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """There must be directions.

        Raises:
            FieldError: a rank or a share that cannot be.
        """
        super().__post_init__()
        if self.rank < 0 or self.most < 1 or not 0 < self.trace <= 1:
            raise FieldError(
                f"gist takes a rank from 0, at least 1 direction at most and a trace above 0 up to 1, not rank = "
                f"{self.rank}, most = {self.most}, trace = {self.trace:g}."
            )

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Real tokens, groups, and the largest rank there can be.

        Raises:
            FieldError: not one direction fits into `max_bytes`.
        """
        assert target is not None, "gist needs a target: needs_target says so"
        return replace(
            self.warmup.sizes(pool, target), d=self._fitting(min(self.rank or self.most, len(target))),
            k=columns(target, "group"),
        )  # fmt: skip

    def cost(self, load: Load) -> Cost:
        """Gradients of pool and target at one checkpoint, the eigenvectors' products, and the projection."""
        warmup, p = self.own, self.own.parameters()
        reading = warmup.gradient_flops(load.tokens, load.square, load.answer_tokens)
        reading += warmup.gradient_flops(load.target_tokens, load.target_square, load.target_answer_tokens)
        products = flops.inner(load.q, load.q, p) + flops.inner(load.q + load.n, load.d, p)
        disk = 4.0 * load.n * load.k + 4.0 * p * (load.q + load.d)
        return Cost(flops=reading + products + flops.inner(load.n, load.k, load.d), disk_bytes=disk)

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Scoring:
        """The basis, and where each target group lies in it."""
        assert target is not None, "gist needs a target: needs_target says so"
        run = self.own.opened(pool, target, folder)
        crc = zlib.crc32(target.group_index().tobytes())
        about = (target.fingerprint, crc, self.rank, self.most, self.trace, self.max_bytes, self.reading().dtype)
        home = folder / "subspace" / run.signed(repr(about))
        note = home / "note.json"
        if not note.exists():
            with meter.block("target subspace") as block:
                found = subspace(
                    gradients(run, len(run.rates) - 1, target, self.reading()), len(target), self.own.parameters(),
                    rank=self.rank, most=self.most, trace=self.trace, fitting=self._fitting, home=home,
                )  # fmt: skip
                np.save(home / "groups.npy", _means(found.rows, target))
            write_bytes(note, json.dumps({**found.about(), "flops": block.flops}).encode())
        else:
            meter.count(flops=json.loads(note.read_text())["flops"])
        said = json.loads(note.read_text())
        if said["rank"] < said["wanted"]:
            log.warning("gist: %s directions were wanted, %s fit into max_bytes", said["wanted"], said["rank"])
        return Scoring(run, str(home), said["rank"], said["wanted"], said["trace"])

    def account(self, state: Scoring) -> dict[str, Any]:
        """The warm-up, and the rank that was taken."""
        return {
            **self.warmup.account(state.run), "p": self.own.parameters(), "rank": state.rank,
            "rank_wanted": state.wanted, "trace": state.trace,
        }  # fmt: skip

    def measure(self, state: Scoring, rows: Pool) -> Float32[np.ndarray, "b q"]:
        """(b, groups) cosines; zero for a row that has nothing in the subspace."""
        home = Path(state.folder)
        groups = _unit(torch.from_numpy(np.load(home / "groups.npy")))
        basis = Subspace.basis(home)
        scores = np.zeros((len(rows), len(groups)), np.float32)
        for places, g in gradients(state.run, len(state.run.rates) - 1, rows, self.reading()):
            x = g @ basis.to(g.device).T  # (b, r)
            meter.count(flops=flops.inner(len(places), state.rank, g.shape[1]))
            scores[places] = (_unit(x.cpu()) @ groups.T).numpy()
        meter.count(flops=flops.inner(len(rows), *groups.shape))
        return scores

    def _fitting(self, rank: int) -> int:
        room = int(self.max_bytes // (4 * self.own.parameters()))
        if room < 1:
            raise FieldError(
                f"gist.max_bytes of {self.max_bytes:.3g} does not hold one direction of "
                f"{self.own.parameters():,} numbers. Raise it, or lower the warm-up's rank (lora)."
            )
        return min(rank, room)


def _means(rows: Float[np.ndarray, "q r"], target: Pool) -> Float32[np.ndarray, "g r"]:
    group = target.group_index()
    return np.stack([rows[group == g].mean(axis=0) for g in np.unique(group)]).astype(np.float32)


def _unit(x: Float32[torch.Tensor, "b r"]) -> Float32[torch.Tensor, "b r"]:
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / torch.where(length > 0, length, 1.0)
