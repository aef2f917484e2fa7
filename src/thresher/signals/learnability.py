"""How much training on the pool lowers each row's loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.signals._recorded import Recorded, numbers


@dataclass(frozen=True, kw_only=True)
class Learnability(Recorded):
    """Loss before less loss after.

        learnability_i = loss_i(theta_start) - loss_i(theta_tuned);       relative: over loss_i(theta_start)

    Source:  Zhou et al. 2023 (LoBaSS), arXiv:2310.13008; a baseline of Yang et al. 2024 (S2L), arXiv:2403.07384.
    Differs: a later code of the S2L group subtracts the other way round and sorts as if it had not; the relative form
             is ours, in the spirit of LoBaSS.
    Cost:    none on top of the recording.
    """

    before: Annotated[float, "share of the proxy's run; 0 is the untrained one"] = 0.0
    after: Annotated[float, "share of the proxy's run"] = 1.0
    relative: Annotated[bool, "over the loss before"] = False

    kind: ClassVar[Kind] = "score"
    example: ClassVar[dict] = {"recording": {**Recorded.example["recording"], "include_start": True}}

    def measure_over(self, state: str, rows: Pool, values: np.ndarray) -> Float[np.ndarray, " b"]:
        """(b,) nats per token, or a share."""
        loss = numbers(values, "loss").astype(np.float64)
        first = loss[:, self.column(state, self.before)]
        drop = first - loss[:, self.column(state, self.after)]
        return drop / np.maximum(first, np.finfo(np.float32).tiny) if self.relative else drop
