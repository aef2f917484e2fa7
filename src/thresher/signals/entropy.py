"""How undecided a model is about each token of the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float

from thresher.compute import flops
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.models import load as models
from thresher.models.loss import row_statistics
from thresher.signals._tuned_model import TunedReader


@dataclass(frozen=True, kw_only=True)
class Entropy(TunedReader):
    """Mean entropy of the next-token distribution over the answer's positions, in nats.

        entropy_i = 1/|a_i| sum_u H(p(. | prompt_i, a_i<u))        H(p) = -sum_v p_v ln p_v

    Source:  a usual baseline of active learning, as in Yang et al. 2024 (S2L), arXiv:2403.07384.
    Differs: nothing known.
    Cost:    one forward pass over the pool; a tuned model's training is billed on its own.
    """

    kind: ClassVar[Kind] = "score"

    def cost(self, load: Load) -> Cost:
        """A pass with logits for the answer, and the tuning."""
        arch = models.architecture(self.model)
        reading = flops.forward(arch, load.tokens, load.square, head_tokens=load.answer_tokens)
        return Cost(flops=reading)

    def measure(self, state: str, rows: Pool) -> Float[np.ndarray, " b"]:
        """(b,) nats a token."""
        opened = models.open_model(state, dtype=self.dtype)
        sums, counts = row_statistics(opened, models.encoded(state, rows, self.max_tokens), entropies)
        return sums / np.maximum(counts, 1)


def entropies(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(m, V) float32 -> (m,) nats."""
    return torch.special.entr(torch.softmax(logits, -1)).sum(-1)
