"""How each row's loss moves while a proxy is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from thresher.core.cost import Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.errors import FieldError
from thresher.signals._recorded import Recorded, numbers

TINY = 1e-6  # of a loss, before its logarithm
FLAT = 1e-8  # standard deviation of a row that does not move


@dataclass(frozen=True, kw_only=True)
class Trajectory(Recorded):
    """A row's loss at the points of a recording, in the order of steps; or its differences, shape or logarithm.

        x_i = (loss_i(theta_1), ..., loss_i(theta_t))
        differences   x_i,c+1 - x_ic                 logarithm   ln(x_ic + 1e-6)
        standardised  (x_ic - mean_c x_i) / std_c x_i, zero for a row that does not move

    Source:  Yang et al. 2024 (S2L), arXiv:2403.07384: plain losses, no normalisation; the differences from "Prune,
             Then Select", a withdrawn submission.
    Differs: the logarithm and the standardised form are ours.
    Cost:    none on top of the recording.
    """

    of: Annotated[Literal["loss", "probability", "confidence"], "which number"] = "loss"
    start: Annotated[bool, "with the untrained proxy's, where it was recorded"] = False
    thin: Annotated[int, "every so many of the points, the last included"] = 1
    change: Annotated[Literal["none", "differences", "logarithm"], "made of the numbers"] = "none"
    standardised: Annotated[bool, "each row less its mean, over its deviation"] = False

    kind: ClassVar[Kind] = "feature"

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Rows and columns."""
        found = self.run.grid(len(pool))
        return replace(super().sizes(pool, target), d=self._columns(list(found.steps)).size - self._shorter)

    @property
    def _shorter(self) -> int:
        return int(self.change == "differences")

    def _columns(self, steps: list[int]) -> np.ndarray:
        """The points taken.

        Raises:
            FieldError: too few are left, or the untrained proxy was not recorded.
        """
        if self.start and steps[0] != 0:
            raise FieldError("trajectory.start wants the untrained proxy: set recording.include_start = true.")
        first = 1 if steps[0] == 0 and not self.start else 0
        if self.thin < 1:
            raise FieldError(f"trajectory.thin is 1 or more, not {self.thin}.")
        taken = np.arange(first, len(steps))[::-1][:: self.thin][::-1]
        if taken.size <= self._shorter:
            raise FieldError(
                f"{taken.size} of {len(steps)} recorded points are no {self.change} of a trajectory. Record more: "
                "recording.points, or recording.epochs in flight."
            )
        return taken

    def measure_over(self, state: str, rows: Pool, values: np.ndarray) -> Float32[np.ndarray, "b t"]:
        """(b, t) from the recorded numbers.

        Raises:
            FieldError: a logarithm of numbers that have had a mean taken off.
        """
        x = numbers(values, self.of)[:, self._columns(self.steps(state))].astype(np.float64)
        if self.change == "logarithm":
            if self.run.capture == "recorded":
                raise FieldError("numbers recorded in flight are differences from a mean and have no logarithm.")
            x = np.log(x + TINY)
        elif self.change == "differences":
            x = np.diff(x, axis=1)
        if self.standardised:
            deviation = x.std(axis=1, keepdims=True)
            x = np.where(deviation > FLAT, (x - x.mean(axis=1, keepdims=True)) / np.maximum(deviation, FLAT), 0.0)
        return x.astype(np.float32)
