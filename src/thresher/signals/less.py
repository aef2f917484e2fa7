"""LESS: whose gradient points where the target's gradient points, along a short warm-up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float32

from thresher.compute import flops, meter
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, name_of
from thresher.core.pool import Pool
from thresher.errors import FieldError, PoolError
from thresher.models import gradient
from thresher.models import load as models
from thresher.signals._checkpoints import Run
from thresher.signals._kept import Keep, Shelf, bytes_per_row, reduced, restored
from thresher.signals._on_warmup import OnWarmup
from thresher.signals._row_features import ProjectionKind, Reading, Shape, dimensions, directions, projection_flops
from thresher.signals._target_directions import columns, target_directions

log = logging.getLogger(__name__)
PART = 4096  # rows: what a cap on the disk must hold at least


@dataclass(frozen=True)
class Scoring:
    """What scoring a part needs: small; what is large lies in files."""

    run: Run
    target: str  # (t, columns, d) float32
    shelf: str  # folder of kept directions
    memory: int  # bytes a pass takes at its highest, as estimated


@dataclass(frozen=True, kw_only=True)
class Less(OnWarmup):
    """Cosine of a row's Adam step with the target's gradient, over the checkpoints of a warm-up.

        m' = 0.9 m + 0.1 g_i      v' = 0.999 v + 0.001 g_i^2      u_i = m' / sqrt(v' + 1e-8)
        x_i = Pi u_i / |Pi u_i|   y_z = Pi g_z / |Pi g_z|
        affinity_iz = sum_c w_c <x_ic, y_zc>        w_c: mean learning rate of epoch c, over their sum

    With `per = "group"` the mean over the target group, which is linear, is taken of y; target rows whose answer lies
    outside the window are no part of it. Rows are scored and dropped.

    Source:  Xia et al. 2024, "LESS: Selecting Influential Data for Targeted Instruction Tuning", arXiv:2402.04333.
    Differs: the default projection is sparse. Group means are over a group's own rows, whatever the groups' sizes. With
             `keep` directions stay on disk in fewer bits and scores come from those.
    Cost:    t G(N_s, D + D_q) + t (n + q) P(p, d) + t X(n, columns, d); the warm-up is billed as its own signal.
    """

    shape: Annotated[Shape, "of the pool's gradients: Adam's step (its 1e-8 inside the root, or outside), or plain"] = (
        "adam"
    )
    checkpoints: Annotated[Literal["all", "last"], "which of the run's are read"] = "all"
    projection: Annotated[ProjectionKind, "sjlt, rademacher, srht, or none"] = "sjlt"
    dimensions: Annotated[int, "of the projected gradients; as many as there are parameters where that is fewer"] = 8192
    per: Annotated[Literal["group", "row"], "a column for each target group, or each target row"] = "group"
    seed: Annotated[int, "of the projection"] = 0
    keep: Annotated[Keep, "directions that stay on disk: none, float32, bf16, int8, sign"] = "none"
    disk_cap: Annotated[float, "bytes that kept directions may take; what does not fit is dropped as without"] = 20e9
    max_bytes: Annotated[float, "refuse to write affinities larger than this"] = 16e9

    kind: ClassVar[Kind] = "affinity"
    needs_target: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {**OnWarmup.example, "dimensions": 64}

    def __post_init__(self) -> None:
        """There must be something to project to.

        Raises:
            FieldError: no dimension.
        """
        super().__post_init__()
        if self.dimensions < 1:
            raise FieldError(f"{name_of(self)}.dimensions must be at least 1, not {self.dimensions!r}.")

    @property
    def per_group(self) -> bool:  # type: ignore[override]
        """Whether columns are target groups already."""
        return self.per == "group"

    def identity(self) -> dict[str, str]:
        """Caps change no value."""
        return super().identity() | {"disk_cap": "", "max_bytes": ""}

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Real tokens, columns, and d.

        Raises:
            PoolError: affinities that are larger than `max_bytes`.
            FieldError: a cap that does not hold one part.
        """
        assert target is not None, "less needs a target: needs_target says so"
        d = dimensions(self.projection, self.own.parameters(), self.dimensions)
        load = replace(self.warmup.sizes(pool, target), d=d, k=columns(target, self.per))
        wanted = 4.0 * load.n * load.k
        if wanted > self.max_bytes:
            raise PoolError(
                f"affinities of {load.n:,} rows to {load.k:,} columns are {wanted:.3g} bytes, and max_bytes is "
                f"{self.max_bytes:.3g}. Take fewer target rows, set per = group, or raise max_bytes."
            )
        part = min(load.n, PART) * self._kept_bytes(d)
        if self.keep != "none" and part > self.disk_cap:
            raise FieldError(
                f"{name_of(self)}.disk_cap of {self.disk_cap:.3g} bytes holds no part: {min(load.n, PART):,} rows of "
                f"{self._checkpoints} x {d:,} numbers as {self.keep} are {part:.3g}. Raise it, keep fewer bits (int8, "
                "sign), take fewer dimensions, or leave keep at none, which writes no directions."
            )
        return load

    def cost(self, load: Load) -> Cost:
        """Gradients of pool and target at each checkpoint, their projection, and the products."""
        warmup, t = self.own, self._checkpoints
        reading = warmup.gradient_flops(load.tokens, load.square, load.answer_tokens)
        reading += warmup.gradient_flops(load.target_tokens, load.target_square, load.target_answer_tokens)
        reading += (load.n + load.q) * projection_flops(self.projection, warmup.parameters(), self.dimensions)
        disk = 4.0 * load.n * load.k + 4.0 * t * load.k * load.d
        disk += min(self.disk_cap, load.n * self._kept_bytes(load.d)) if self.keep != "none" else 0.0
        return Cost(flops=t * (reading + flops.inner(load.n, load.k, load.d)), disk_bytes=disk)

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Scoring:
        """The target's directions at every checkpoint that is read."""
        assert target is not None, "less needs a target: needs_target says so"
        run = self.own.opened(pool, target, folder)
        how = self._reading()
        if self.shape != "plain":
            names = [name for name, _ in gradient.trainable(run.network(0, dtype=how.dtype))]
            for number in self._numbers(run):
                run.moments(number, names)  # what is missing is said before anything is read
        path = target_directions(run, self._numbers(run), target, self.per, how, folder)
        shelf = folder / "kept" / run.signed(repr((self.shape, self.keep, replace(how, memory=0))))
        tokens = models.encoded(run.base, pool, how.max_tokens)
        memory = gradient.memory_estimate(
            run.network(0, dtype=how.dtype), tokens, memory_bytes=self.memory, moments=self.shape != "plain",
            held=path.stat().st_size // len(self._numbers(run)),
        )  # fmt: skip
        kept = min(self.disk_cap, len(pool) * self._kept_bytes(self.sizes(pool, target).d))
        log.info("%s: about %.3g bytes of memory, %.3g of disk for directions", name_of(self), memory, kept)
        return Scoring(run, str(path), str(shelf), memory)

    def account(self, state: Scoring) -> dict[str, Any]:
        """The warm-up, what p and d came to, memory as estimated, and what kept bits cost in order."""
        p = self.own.parameters()
        numbers = self._numbers(state.run)
        return {
            **self.warmup.account(state.run),
            "checkpoints": [number + 1 for number in numbers], "weights": state.run.weights(numbers),
            "p": p, "d": dimensions(self.projection, p, self.dimensions), "memory_estimate": state.memory,
            "kept": {**self._shelf(state).agreement(), "bytes": self._shelf(state).used()},
        }  # fmt: skip

    def measure(self, state: Scoring, rows: Pool) -> Float32[np.ndarray, "b q"]:
        """(b, columns) weighted cosines; each row is read, scored and dropped."""
        target = np.load(state.target, mmap_mode="r")
        numbers = self._numbers(state.run)
        scores, exact = (np.zeros((len(rows), target.shape[1]), np.float32) for _ in range(2))
        both_ways = self.keep != "none"
        for at, (number, weight) in enumerate(zip(numbers, state.run.weights(numbers), strict=True)):
            near = torch.from_numpy(np.array(target[at]))  # (columns, d)
            for places, x, lossless in self._directions(state, number, rows):
                scores[places] += weight * (x.cpu() @ near.T).numpy()
                both_ways &= lossless is not None
                if lossless is not None:
                    exact[places] += weight * (lossless.cpu() @ near.T).numpy()
            meter.count(flops=flops.inner(len(rows), *near.shape))
        if both_ways:
            self._shelf(state).note_sample(_part(rows), exact.max(axis=1), scores.max(axis=1))
        return scores

    def _directions(
        self, state: Scoring, number: int, rows: Pool
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor | None]]:
        """(places, directions as they are scored, and as they were before bits were lost)."""
        if self.keep == "none":
            fresh = directions(state.run, number, rows, self.shape, self._reading())
            yield from ((places, x, None) for places, x in fresh)
            return
        shelf, name = self._shelf(state), f"{_part(rows)}-{number + 1}"
        found = shelf.read(name)
        lossless = None
        if found is None:
            with meter.block(f"directions at checkpoint {number + 1}") as block:
                both = list(directions(state.run, number, rows, self.shape, self._reading()))
            order = torch.from_numpy(np.argsort(np.concatenate([places for places, _ in both])))
            lossless = torch.cat([x for _, x in both])[order]
            codes = reduced(lossless, self.keep)
            shelf.write(name, codes, block.flops)
        else:
            codes, spent = found
            meter.count(flops=spent)  # an earlier method's reading, charged here as well
        d = dimensions(self.projection, self.own.parameters(), self.dimensions)
        yield np.arange(len(rows)), restored(codes, self.keep, d), lossless

    @property
    def _checkpoints(self) -> int:
        return 1 if self.checkpoints == "last" else self.own.checkpoints()

    def _numbers(self, run: Run) -> tuple[int, ...]:
        last = len(run.rates)
        return tuple(range(last)) if self.checkpoints == "all" else (last - 1,)

    def _reading(self) -> Reading:
        return self.reading(self.projection, self.dimensions, self.seed)

    def _kept_bytes(self, d: int) -> float:
        """A row."""
        return float(self._checkpoints * bytes_per_row(self.keep, d))

    def _shelf(self, state: Scoring) -> Shelf:
        return Shelf(Path(state.shelf), self.keep, self.disk_cap)


def _part(rows: Pool) -> str:
    return rows.fingerprint[:24]
