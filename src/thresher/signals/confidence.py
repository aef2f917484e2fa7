"""How sure a model is of its own first choice at each token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

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
class Confidence(TunedReader):
    """Mean of the largest next-token probability over the answer's positions.

        confidence_i = 1/|a_i| sum_u max_v p(v | prompt_i, a_i<u)
        max-logit:     mean over every position that predicts a token, the prompt's too, of the largest raw logit

    Source:  a baseline of Yang et al. 2024 (S2L), arXiv:2403.07384, who do not print their formula; max-logit is how
             the code base it grew from computes it.
    Differs: the position after a row's last token predicts nothing and is left out of max-logit. Raw logits do not
             compare across positions, which is why probabilities are the default.
    Cost:    one forward pass over the pool; a tuned model's training is billed on its own.
    """

    of: Annotated[
        Literal["probability", "max-logit"], "answer positions' probabilities, or all positions' raw logits"
    ] = "probability"
    margin: Annotated[bool, "the largest minus the second largest, instead of the largest"] = False

    kind: ClassVar[Kind] = "score"

    def cost(self, load: Load) -> Cost:
        """A pass with logits where they are read, and the tuning."""
        heads = load.answer_tokens if self.of == "probability" else load.tokens
        reading = flops.forward(models.architecture(self.model), load.tokens, load.square, head_tokens=heads)
        return Cost(flops=reading)

    def measure(self, state: str, rows: Pool) -> Float[np.ndarray, " b"]:
        """(b,) a probability, or a logit."""
        opened, tokens = models.open_model(state, dtype=self.dtype), models.encoded(state, rows, self.max_tokens)
        if self.of == "max-logit":
            tokens = replace(tokens, trained=np.ones_like(tokens.trained))
        sums, counts = row_statistics(opened, tokens, self.statistic)
        return sums / np.maximum(counts, 1)

    def statistic(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(m, V) float32 -> (m,)."""
        values = torch.softmax(logits, -1) if self.of == "probability" else logits
        if not self.margin:
            return values.amax(-1)
        first, second = values.topk(2, dim=-1).values.unbind(-1)
        return first - second
