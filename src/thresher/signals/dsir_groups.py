"""As `dsir`, one weight for each group of the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.signals.dsir import DSIR, Fitted


@dataclass(frozen=True, kw_only=True)
class DSIRGroups(DSIR):
    """Log importance weights of hashed unigrams and bigrams, towards each group of the target by itself.

        a_iM = sum_h c_i(h) [ln(p_M(h) + 1e-8) - ln(p_pool(h) + 1e-8)],   M: a group of the target

    Source:  Xie et al. 2023, arXiv:2302.03169, several targets.
    Differs: as `dsir`; rows of the target without a group are a group of their own.
    Cost:    no FLOPs; as `dsir`, whose counting all groups share.
    """

    kind: ClassVar[Kind] = "affinity"
    per_group: ClassVar[bool] = True

    def measure(self, state: Fitted, rows: Pool) -> Float[np.ndarray, "b g"]:
        """(b, g) nats, groups as the reasons name them: rows without a group first, then by name."""
        return self._weights(state, rows)

    def _targets(self, target: Pool) -> tuple[list[str], Int[np.ndarray, " q"]]:
        """(g,) names, and which of them each target row belongs to."""
        held, group = np.unique(target.group_index(), return_inverse=True)
        names = [*target.group_names, "(none)"]  # place -1 is the last
        return [names[g] for g in held], group.astype(np.int64)
