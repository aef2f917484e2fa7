"""What signals that are computed from a recording have in common."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Signal, describe, name_of
from thresher.core.pool import Pool
from thresher.errors import FieldError, KindError
from thresher.signals._recorded_files import Files
from thresher.signals.recording import NUMBERS, Recording


@dataclass(frozen=True, kw_only=True)
class Recorded(Signal):
    """A signal over a recording, which is measured once for all methods that use it."""

    recording: Annotated[Signal, "the proxy's run"]

    example: ClassVar[dict[str, Any]] = {"recording": {"name": "recording", "model": "@model", **Recording.example}}

    def __post_init__(self) -> None:
        """Nothing else has points.

        Raises:
            KindError: another signal was given.
        """
        if not isinstance(self.recording, Recording):
            raise KindError(
                f"{name_of(self)} is computed from a recording of a proxy's run, not from {name_of(self.recording)}."
            )

    @property
    def run(self) -> Recording:
        """The recording, as what it is."""
        assert isinstance(self.recording, Recording), "__post_init__ has seen to it"
        return self.recording

    @property
    def needs_target(self) -> bool:  # type: ignore[override]
        """Where the recording reads one."""
        return self.run.needs_target

    def inner(self) -> Signal:
        """The recording."""
        return self.recording

    def identity(self) -> dict[str, str]:
        """The recording by what changes its values."""
        identity = self.run.identity()
        about = describe(self.run)
        fields = {k: v for k, v in about["fields"].items() if k not in identity}  # type: ignore[attr-defined]
        return {"recording": json.dumps({**about, "fields": fields, "identity": identity}, sort_keys=True)}

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Rows; no token is read again."""
        return replace(super().sizes(pool, target), d=len(self.run.grid(len(pool)).steps))

    def cost(self, load: Load) -> Cost:
        """Nothing on top of the recording."""
        return Cost()

    def usable(self, pool: Pool) -> np.ndarray:
        """(n,) rows with a loss."""
        return self.run.usable(pool)

    def usable_target(self, target: Pool) -> np.ndarray | None:
        """(q,) as the recording reads them along."""
        return self.run.usable_target(target)

    def truncated(self, rows: Pool) -> float:
        """As the recording reads them."""
        return self.run.truncated(rows)

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> str:
        """The recording's folder."""
        return self.run.prepare(pool, target, folder)

    def account(self, state: str) -> dict[str, Any]:
        """The recording's."""
        return self.run.account(state)

    def measure(self, state: str, rows: Pool) -> np.ndarray:
        """From the recording's folder."""
        return self.measure_over(state, rows, self.run.measure(state, rows))

    def steps(self, state: str) -> list[int]:
        """The recorded points."""
        return list(Files(Path(state)).about()["steps"])

    def total(self, state: str) -> int:
        """Optimiser steps of the whole run."""
        return int(Files(Path(state)).about()["total_steps"])

    def column(self, state: str, at: float) -> int:
        """The point at a share of the run.

        Raises:
            FieldError: nothing was recorded there.
        """
        steps, total = self.steps(state), self.total(state)
        wanted = 0 if at <= 0 else max(1, int(np.floor(at * total + 0.5 + 1e-9)))
        if wanted not in steps:
            shares = ", ".join(f"{step / total:.3f}" for step in steps)
            raise FieldError(
                f"{name_of(self)} wants the proxy at {at:g} of its run (step {wanted}), and the recording has "
                f"{shares}. Name one of these, set recording.include_start for 0, or change recording.points."
            )
        return steps.index(wanted)


def numbers(values: np.ndarray, of: str) -> Float[np.ndarray, "b t"]:
    """One of the recording's three blocks of columns."""
    t = values.shape[1] // len(NUMBERS)
    at = NUMBERS.index(of)
    return np.asarray(values[:, at * t : (at + 1) * t], dtype=np.float32)
