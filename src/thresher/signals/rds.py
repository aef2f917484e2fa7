"""A row's place in a language model's own hidden space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from thresher.compute import flops
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.data.chat import Encoded
from thresher.models import load as models
from thresher.models.hidden import marked, pooled
from thresher.signals._tuned_model import TunedReader


@dataclass(frozen=True, kw_only=True)
class RDS(TunedReader):
    """Mean of the last hidden states (after the final norm), later tokens weighing more.

        x_i = sum_u u h_iu / sum_u u        u = 1 .. s_i, the token's place in the row

    Source:  Ivison et al. 2025, "Large-Scale Data Selection for Instruction Tuning", arXiv:2503.01807 (RDS+).
    Differs: padding has no weight whatever the batch. The model reads whole rows; with `text` prompt or answer the
             states of the other tokens are left out, and u counts what is left.
    Cost:    one forward pass over the pool without logits; a tuned model's training is billed on its own.
    """

    pooling: Annotated[Literal["weighted", "mean", "last"], "how token states become one vector"] = "weighted"
    text: Annotated[Literal["row", "prompt", "answer"], "whose tokens' states count"] = "row"

    kind: ClassVar[Kind] = "feature"

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Real tokens, and the width."""
        return replace(super().sizes(pool, target), d=models.architecture(self.model).width)

    def cost(self, load: Load) -> Cost:
        """A pass without the output head, and the tuning."""
        return self.reading_cost(load)

    def reading_cost(self, load: Load) -> Cost:
        """The pass alone."""
        return Cost(flops=flops.embed(models.architecture(self.model), load.tokens, load.square))

    def usable(self, pool: Pool) -> np.ndarray:
        """(n,) rows with a token to read, and one to be trained on."""
        return super().usable(pool) & (marked(self._tokens(self.model, pool)) > 0)

    def measure(self, state: str, rows: Pool) -> Float32[np.ndarray, "b d"]:
        """(b, d) the rows' vectors, as long as they come out."""
        opened = models.open_model(state, dtype=self.dtype)
        return pooled(
            opened.model.base_model, self._tokens(state, rows), self.pooling, pad_id=opened.pad_id,
            architecture=opened.architecture, device=opened.device,
        )  # fmt: skip

    def _tokens(self, model: str, rows: Pool) -> Encoded:
        """The rows in the model's own chat template, with the tokens that count marked."""
        tokens = models.encoded(model, rows, self.max_tokens)
        chosen = {"row": np.ones_like(tokens.trained), "prompt": ~tokens.trained, "answer": tokens.trained}[self.text]
        return replace(tokens, trained=chosen)
