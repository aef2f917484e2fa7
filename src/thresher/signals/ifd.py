"""Instruction-following difficulty: what the prompt does for the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from thresher.compute import flops
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.data.chat import Encoded, answer_opening, join
from thresher.models import load as models
from thresher.models.loss import negative_log_likelihood, row_statistics
from thresher.signals._tuned_model import TunedReader


@dataclass(frozen=True, kw_only=True)
class IFD(TunedReader):
    """Loss of the answer given its prompt over loss of the answer alone.

        loss         (mean loss given the prompt) / (mean loss alone)
        perplexity   exp(mean loss given the prompt - mean loss alone)

    Source:  Li et al. 2024, arXiv:2308.12032 (loss; alone means after the response marker) and arXiv:2402.00530
             (perplexity; alone means after nothing), each as in its authors' code.
    Differs: the same answer tokens above and below. With nothing before the answer, not even a begin token, its
             first token cannot be predicted and is left out of both means. The marker is the chat template's own.
    Cost:    one pass over the pool, one over its answers; a tuned model's training is billed on its own.
    """

    ratio_of: Annotated[Literal["loss", "perplexity"], "what is divided"] = "loss"
    alone: Annotated[Literal["marker", "nothing"], "what stands before the answer when the prompt does not"] = "marker"

    kind: ClassVar[Kind] = "score"

    def cost(self, load: Load) -> Cost:
        """Two passes with logits for the answer, and the tuning."""
        arch, before = models.architecture(self.model), len(self._before(self.model))
        given = flops.forward(arch, load.tokens, load.square, head_tokens=load.answer_tokens)
        tokens = load.answer_tokens + before * load.n
        square = load.answer_square + 2 * before * load.answer_tokens + load.n * before**2
        alone = flops.forward(arch, tokens, square, head_tokens=load.answer_tokens)
        return Cost(flops=given + alone)

    def usable(self, pool: Pool) -> np.ndarray:
        """(n,) rows with an answer token that has a predecessor both with and without the prompt."""
        given, _ = self._both(self.model, pool)
        return given.answer_tokens() > 0

    def measure(self, state: str, rows: Pool) -> Float[np.ndarray, " b"]:
        """(b,) the ratio; below one where the prompt helps."""
        opened = models.open_model(state, dtype=self.dtype)
        means = []
        for tokens in self._both(state, rows):
            sums, counts = row_statistics(opened, tokens, negative_log_likelihood)
            means.append(sums / np.maximum(counts, 1))
        given, alone = means
        return np.exp(given - alone) if self.ratio_of == "perplexity" else given / alone

    def _before(self, model: str) -> tuple[int, ...]:
        return before_answer(model, self.alone == "marker")

    def _both(self, model: str, rows: Pool) -> tuple[Encoded, Encoded]:
        return with_and_without(models.encoded(model, rows, self.max_tokens), self._before(model))


@lru_cache(maxsize=8)
def before_answer(model: str, marker: bool) -> tuple[int, ...]:
    """The begin token, if the tokenizer has one, and the template's opening of the model's turn."""
    return tuple(answer_opening(models.open_tokenizer(model), marker=marker))


def with_and_without(tokens: Encoded, before: tuple[int, ...]) -> tuple[Encoded, Encoded]:
    """Rows with their prompts, and their trained tokens after `before` alone; the same tokens count in both."""
    given, alone, counting = [], [], []
    for i in range(len(tokens)):
        ids, trained = tokens.row(i)
        places = np.flatnonzero(trained)
        counts = places > 0  # a row's first token has no predecessor
        if not before:
            counts[:1] = False
        mask = np.zeros(len(ids), bool)
        mask[places[counts]] = True
        given.append(mask)
        alone.append(np.concatenate([np.asarray(before, np.int32), ids[places]]))
        counting.append(np.concatenate([np.zeros(len(before), bool), counts]))
    with_prompt = replace(tokens, trained=np.concatenate([*given, np.zeros(0, bool)]))
    return with_prompt, join(alone, counting, tokens.cut, tokens.template)
