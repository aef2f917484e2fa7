"""How much a short training on the target helps each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.compute import flops
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.models import load as models
from thresher.models.loss import answer_loss
from thresher.signals._tuned_model import TunedReader
from thresher.signals._tuning import Tuning

WARM_UP = Tuning(on="target", epochs=10.0, steps=50, until=0.8, learning_rate=1e-4, lora=8)


@dataclass(frozen=True, kw_only=True)
class AlignedPath(TunedReader):
    """The drop of a row's loss from the scorer to the scorer after a short training on the target, over the first.

        score_i = (loss_i(theta_0) - loss_i(theta_w)) / loss_i(theta_0)

    Source:  Yang, He & Cheng 2026, arXiv:2605.09404: a normalised drop between the ends of the path.
    Differs: normaliser and warm-up are ours: the starting loss (`relative = false`: none); adapters of rank 8, 1e-4, 50
             steps or 10 epochs, whichever is less, ended after the first epoch whose loss drop is below 80% of the
             first's. The warm-up belongs to the target: another pool reuses it.
    Cost:    two forward passes over the pool; the warm-up is billed on its own.
    """

    tuning: Annotated[Tuning, "the warm-up on the target; charged"] = WARM_UP
    relative: Annotated[bool, "over the starting loss"] = True

    kind: ClassVar[Kind] = "score"

    def cost(self, load: Load) -> Cost:
        """Two passes."""
        arch = models.architecture(self.model)
        return Cost(flops=2.0 * flops.forward(arch, load.tokens, load.square, head_tokens=load.answer_tokens))

    def measure(self, state: str, rows: Pool) -> Float[np.ndarray, " b"]:
        """(b,) a share of the starting loss, or nats per token."""
        before, after = (self._loss(path, rows) for path in (self.model, state))
        drop = before - after
        return drop / np.maximum(before, np.finfo(np.float32).tiny) if self.relative else drop

    def _loss(self, path: str, rows: Pool) -> Float[np.ndarray, " b"]:
        nll, tokens = answer_loss(path, rows, max_tokens=self.max_tokens, dtype=self.dtype)
        return nll / np.maximum(tokens, 1)
