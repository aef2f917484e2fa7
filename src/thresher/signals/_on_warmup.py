"""What signals that read gradients at a warm-up's checkpoints have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from thresher.core.method import Signal, name_of
from thresher.core.pool import Pool
from thresher.errors import FieldError, KindError
from thresher.models import load as models
from thresher.models.device import choose_device, choose_dtype
from thresher.signals._row_features import ProjectionKind, Reading
from thresher.signals.similarity import signed
from thresher.signals.warmup import Warmup


@dataclass(frozen=True, kw_only=True)
class OnWarmup(Signal):
    """A warm-up, and the memory that reading its checkpoints may take."""

    warmup: Annotated[Signal, "the run whose checkpoints are read"]
    memory: Annotated[int, "bytes for the gradients and activations of one batch"] = 1 << 30

    work: ClassVar[str] = "train"
    example: ClassVar[dict[str, Any]] = {
        "warmup": {"name": "warmup", "model": "@model", "share": 0.5, "batch_size": 8, "lora": 4, "alpha": 16},
    }

    def __post_init__(self) -> None:
        """Only a warm-up has checkpoints.

        Raises:
            KindError: another signal was given.
            FieldError: no memory.
        """
        if not isinstance(self.warmup, Warmup):
            raise KindError(f"{name_of(self)} reads the checkpoints of a warmup, not a {name_of(self.warmup)}.")
        if self.memory < 1:
            raise FieldError(f"{name_of(self)}.memory must be at least 1, not {self.memory!r}.")

    def inner(self) -> Signal:
        """The warm-up, which all methods that rest on it share."""
        return self.warmup

    def identity(self) -> dict[str, str]:
        """The warm-up by what changes it; memory changes no value."""
        return {"warmup": signed(self.warmup), "memory": ""}

    def usable(self, pool: Pool) -> np.ndarray | None:
        """(n,) rows with a token to be trained on."""
        return self.warmup.usable(pool)

    def usable_target(self, target: Pool) -> np.ndarray | None:
        """(q,) the same of the target, where its gradients are read."""
        return self.warmup.usable(target) if self.needs_target else None

    def truncated(self, rows: Pool) -> float | None:
        """Share of the rows that are longer than the window."""
        return self.warmup.truncated(rows)

    def measure_over(self, state: Any, rows: Pool, values: np.ndarray) -> np.ndarray:
        """As `measure`: what the warm-up trained on does not matter."""
        return self.measure(state, rows)

    @property
    def own(self) -> Warmup:
        """The warm-up as what it is."""
        assert isinstance(self.warmup, Warmup), "looked at in __post_init__"
        return self.warmup

    def reading(self, projection: ProjectionKind = "none", dimensions: int = 1, seed: int = 0) -> Reading:
        """How rows are read at a checkpoint."""
        warmup = self.own
        dtype = choose_dtype(warmup.dtype, choose_device("auto"), models.architecture(warmup.model))
        return Reading(warmup.max_tokens, dtype, projection, dimensions, seed, self.memory)
