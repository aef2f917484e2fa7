"""A row's place among gradients: its directions at all checkpoints of a warm-up, side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Float32

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.signals._checkpoints import Run
from thresher.signals._on_warmup import OnWarmup
from thresher.signals._row_features import ProjectionKind, Shape, dimensions, directions, projection_flops


@dataclass(frozen=True, kw_only=True)
class RowGradients(OnWarmup):
    """LESS's directions, each times the root of its checkpoint's weight: a cosine of these is LESS's weighted sum.

        f_i = (sqrt(w_1) x_i1, ..., sqrt(w_t) x_it)        <f_i, f_j> = sum_c w_c <x_ic, x_jc>

    For selectors that compare rows with one another. `similarity` of it (Adam's shape) with the target's plain ones is
    the affinity that `less` measures, with the pool's side kept for every other target and selector.

    Source:  Xia et al. 2024, arXiv:2402.04333; Nayak et al. 2026, arXiv:2602.14696, whose k-nearest-neighbour
             selectors measure distances between rows so.
    Differs: all checkpoints in one vector, so that one product compares two rows; fewer dimensions by default.
    Cost:    t G(N_s, D) + t n P(p, d), and 4 n t d bytes; the warm-up is billed as its own signal.
    """

    shape: Annotated[Shape, "Adam's step (its 1e-8 inside the root, or outside), or the plain gradient"] = "adam"
    projection: Annotated[ProjectionKind, "sjlt, rademacher, srht, or none"] = "sjlt"
    dimensions: Annotated[int, "at each checkpoint"] = 1024
    seed: Annotated[int, "of the projection"] = 0

    kind: ClassVar[Kind] = "feature"
    example: ClassVar[dict[str, Any]] = {**OnWarmup.example, "dimensions": 64}

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Real tokens, and all the numbers of a row."""
        d = dimensions(self.projection, self.own.parameters(), self.dimensions)
        return replace(self.warmup.sizes(pool, target), d=self.own.checkpoints() * d)

    def cost(self, load: Load) -> Cost:
        """Gradients at each checkpoint and their projection."""
        warmup = self.own
        reading = warmup.gradient_flops(load.tokens, load.square, load.answer_tokens or load.tokens)
        reading += load.n * projection_flops(self.projection, warmup.parameters(), self.dimensions)
        return Cost(flops=warmup.checkpoints() * reading, disk_bytes=4.0 * load.n * load.d)

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Run:
        """The warm-up's checkpoints."""
        return self.own.opened(pool, target, folder)

    def account(self, state: Run) -> dict[str, Any]:
        """The warm-up's."""
        return self.warmup.account(state)

    def measure(self, state: Run, rows: Pool) -> Float32[np.ndarray, "b d"]:
        """(b, t d), of length one."""
        how = self.reading(self.projection, self.dimensions, self.seed)
        numbers = tuple(range(len(state.rates)))
        found = []
        for number, weight in zip(numbers, state.weights(numbers), strict=True):
            parts = list(directions(state, number, rows, self.shape, how))
            own = np.empty((len(rows), parts[0][1].shape[1]), np.float32)
            for places, x in parts:
                own[places] = np.sqrt(weight) * x.cpu().numpy()
            found.append(own)
        return np.concatenate(found, axis=1).astype(np.float32, copy=False)
