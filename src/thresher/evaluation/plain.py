"""Rows without a template: the prompt's words, a newline, the answer's words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from thresher.core.pool import Pool
from thresher.data.chat import Encoded, join, prompt_ids


def encode(pool: Pool, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> Encoded:
    """Tokens of every row; the last answer is what counts."""
    prompts = prompt_ids([row[:-1] for row in pool.messages()], tokenizer, plain=True)
    return followed(prompts, pool.answer(), tokenizer, max_tokens)


def followed(
    prompts: Sequence[Sequence[int]], answers: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int
) -> Encoded:
    """Prompts as tokens, each followed by an answer's tokens, which are the ones that count."""
    tails = tokenizer(list(answers), add_special_tokens=False)["input_ids"]
    ids = [np.array([*head, *tail][:max_tokens], dtype=np.int32) for head, tail in zip(prompts, tails, strict=True)]
    trained = [np.arange(len(row)) >= len(head) for row, head in zip(ids, prompts, strict=True)]
    cut = [len(h) + len(t) - len(row) for h, t, row in zip(prompts, tails, ids, strict=True)]
    return join(ids, trained, np.array(cut, dtype=np.int64), "plain")
