"""Rows as directions: each one's gradient at a checkpoint, shaped, projected, of length one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int

from thresher.compute import flops, meter
from thresher.core.pool import Pool
from thresher.errors import NonFinite
from thresher.models import gradient
from thresher.models import load as models
from thresher.models.projection import make
from thresher.signals._adam_shape import shape_
from thresher.signals._checkpoints import Run

Shape = Literal["adam", "adam-epsilon-outside", "plain"]
ProjectionKind = Literal["sjlt", "rademacher", "srht", "none"]


@dataclass(frozen=True)
class Reading:
    """How rows are read; whatever stands here changes values, `memory` only by rounding."""

    max_tokens: int
    dtype: str
    projection: ProjectionKind
    dimensions: int
    seed: int
    memory: int  # bytes for the gradients and activations of one batch


def directions(
    run: Run, number: int, rows: Pool, shape: Shape, how: Reading
) -> Iterator[tuple[Int[np.ndarray, " b"], Float32[torch.Tensor, "b d"]]]:
    """(which rows, their directions at checkpoint `number`), batch after batch; every row once.

    Raises:
        NonFinite: a row whose gradient is zero or not finite.
    """
    moments, project = None, None
    for places, g in gradients(run, number, rows, how):
        if project is None:
            project = make(how.projection, g.shape[1], how.dimensions, how.seed)
        if shape != "plain":
            moments = moments or _moments(run, number, how)
            shape_(g, *moments, epsilon_inside=shape == "adam")
        x = project(g)
        meter.count(flops=len(places) * projection_flops(how.projection, g.shape[1], how.dimensions))
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        _complain(rows, places[~((length > 0) & torch.isfinite(length)).cpu().numpy()[:, 0]])
        yield places, x / length


def gradients(
    run: Run, number: int, rows: Pool, how: Reading
) -> Iterator[tuple[Int[np.ndarray, " b"], Float32[torch.Tensor, "b p"]]]:
    """(which rows, their plain gradients at checkpoint `number`), every row once; the memory is used again.

    Raises:
        NonFinite: a row whose gradient is zero or not finite.
    """
    network = run.network(number, dtype=how.dtype)
    tokens = models.encoded(run.base, rows, how.max_tokens)
    _complain(rows, np.flatnonzero(tokens.answer_tokens() == 0))
    for places, g in gradient.each(network, tokens, memory_bytes=how.memory):
        _complain(rows, places[gradient.silent(g)])
        yield places, g


def _moments(run: Run, number: int, how: Reading) -> tuple[torch.Tensor, torch.Tensor]:
    network = run.network(number, dtype=how.dtype)
    return run.moments(number, [name for name, _ in gradient.trainable(network)], str(network.device))


def projection_flops(kind: ProjectionKind, p: int, d: int) -> float:
    """P(p, d) of METHODS.md 0.4; nothing where no projection is made."""
    return 0.0 if kind == "none" or d >= p else flops.project(p, d, kind)


def dimensions(kind: ProjectionKind, p: int, d: int) -> int:
    """Numbers of a direction."""
    return p if kind == "none" or d >= p else d


def _complain(rows: Pool, places: np.ndarray) -> None:
    if places.size:
        raise NonFinite(
            f"{places.size} of {len(rows)} rows of {rows.name} have a gradient that is zero or not finite, first ids "
            f"{rows.take(places[:5]).ids()}: they have no direction. Leave these rows out; if there are many, look at "
            "the warm-up (a learning rate that made it diverge) and at max_tokens (answers that were cut off)."
        )
