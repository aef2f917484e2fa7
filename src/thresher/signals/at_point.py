"""What a proxy thinks of each row at one point of its training, or on average over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.signals._recorded import Recorded, numbers


@dataclass(frozen=True, kw_only=True)
class AtPoint(Recorded):
    """A row's loss, answer probability or confidence under an early or a late proxy.

        x_i = number_i(theta_c), c = `at` of the run;       mean: over all points but the untrained one

    Source:  the baselines of Yang et al. 2024 (S2L), arXiv:2403.07384, give each an early and a late reference model;
             which model and which steps: not published.
    Differs: the references are the proxy at 1/12 and at the end of its run.
    Cost:    none on top of the recording.
    """

    of: Annotated[Literal["loss", "probability", "confidence"], "which number"] = "loss"
    at: Annotated[float, "share of the proxy's run; 0 is the untrained one"] = 1.0
    mean: Annotated[bool, "over all points, instead"] = False

    kind: ClassVar[Kind] = "score"

    def measure_over(self, state: str, rows: Pool, values: np.ndarray) -> Float[np.ndarray, " b"]:
        """(b,) nats, or a probability."""
        found = numbers(values, self.of).astype(np.float64)
        if self.mean:
            return found[:, int(self.steps(state)[0] == 0) :].mean(axis=1)
        return found[:, self.column(state, self.at)]
