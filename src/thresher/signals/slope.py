"""Whether each row's loss falls while a proxy is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.errors import FieldError
from thresher.signals._recorded import Recorded, numbers


@dataclass(frozen=True, kw_only=True)
class Slope(Recorded):
    """The least-squares slope of a row's loss on the number of the point, 1..t.

        slope_i = sum_c (c - mean c) loss_ic / sum_c (c - mean c)^2

    Source:  "Prune, Then Select", a withdrawn submission.
    Differs: the unit of its threshold is not published; ours is nats a point.
    Cost:    none on top of the recording.
    """

    kind: ClassVar[Kind] = "score"

    def measure_over(self, state: str, rows: Pool, values: np.ndarray) -> Float[np.ndarray, " b"]:
        """(b,) nats a point.

        Raises:
            FieldError: one point has no slope.
        """
        loss = numbers(values, "loss").astype(np.float64)[:, int(self.steps(state)[0] == 0) :]
        if loss.shape[1] < 2:
            raise FieldError("a slope needs two points or more: raise recording.points (in flight, recording.epochs).")
        centred = np.arange(loss.shape[1]) - (loss.shape[1] - 1) / 2
        return loss @ centred / float(centred @ centred)
