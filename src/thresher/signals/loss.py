"""Answer loss under a model: how surprising each row is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from thresher.compute import flops
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.models.load import architecture
from thresher.models.loss import answer_loss
from thresher.signals import _windows
from thresher.signals._tuned_model import TunedReader


@dataclass(frozen=True, kw_only=True)
class Loss(TunedReader):
    """Mean negative log-likelihood of the answer given the prompt, in nats per token.

        loss_i = -1/|a_i| * sum_u log p(a_iu | prompt_i, a_i<u)

    Source:  Marion et al. 2023, "When Less Is More", arXiv:2309.04564 (perplexity pruning); the target-tuned scorer
             and `text = "ccds"` from Yin & Rush 2025, arXiv:2410.16208, and its code.
    Differs: 2309.04564 scores whole documents; we score the answer unless `of = "all"`.
    Cost:    one forward pass over the pool (logits where they are needed); tuning a scorer is billed on its own.
    """

    of: Annotated[Literal["answer", "all"], "tokens whose loss is taken"] = "answer"
    conditioned: Annotated[bool, "false: the answer alone, with nothing before it"] = True
    text: Annotated[Literal["chat", "ccds"], "the model's template, or first user message + ' A:' + answer"] = "chat"

    kind: ClassVar[Kind] = "score"
    version: ClassVar[int] = 2  # 2: the rows a scorer is tuned on are drawn and ordered by id, not by place

    def cost(self, load: Load) -> Cost:
        """A pass over the pool, and the tuning."""
        arch = architecture(self.model)
        if not self.conditioned:
            reading = flops.forward(arch, load.answer_tokens, load.answer_square)
        else:
            heads = load.answer_tokens if self.of == "answer" and self.text == "chat" else load.tokens
            reading = flops.forward(arch, load.tokens, load.square, head_tokens=heads)
        return Cost(flops=reading)

    def measure(self, state: str, rows: Pool) -> np.ndarray:
        """(b,) nats per token; with `text = "ccds"` the perplexity."""
        if self.text == "ccds":
            return _windows.perplexity(state, rows, self.max_tokens, dtype=self.dtype)
        nll, tokens = answer_loss(
            state, rows, max_tokens=self.max_tokens, of=self.of, conditioned=self.conditioned, dtype=self.dtype
        )
        return nll / np.maximum(tokens, 1)
