"""Losses per row: of the tokens that are trained on, exact, whatever row stands beside whatever other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int

from thresher.compute import flops, meter
from thresher.core.pool import Pool
from thresher.data.chat import Encoded, join
from thresher.models import halving
from thresher.models.batching import batches, padded
from thresher.models.head import head_of
from thresher.models.load import Opened, encoded, open_model

TOKEN_BUDGET = 2048  # padded tokens a batch
HEAD_SLICE = 512  # positions whose logits exist at once

Statistic = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (m, V) float32 logits, (m,) labels -> (m,) or (m, k)


def negative_log_likelihood(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(m, V) float32, (m,) -> (m,) nats."""
    return F.cross_entropy(logits, labels, reduction="none")


def three_numbers(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(m, V) float32, (m,) -> (m, 3): nats, the label's probability, the largest probability."""
    whole = logits.logsumexp(-1)
    label = logits.gather(-1, labels[:, None])[:, 0] - whole
    return torch.stack([-label, label.exp(), (logits.amax(-1) - whole).exp()], -1)


def answer_loss(
    path: str, rows: Pool, *, max_tokens: int, of: Literal["answer", "all"] = "answer", conditioned: bool = True,
    dtype: str = "auto", token_budget: int = TOKEN_BUDGET,
) -> tuple[Float[np.ndarray, " b"], Int[np.ndarray, " b"]]:  # fmt: skip
    """Each row's summed negative log-likelihood in nats, and over how many tokens; 0 and 0 where there is none.

    Args:
        path: a resolved model.
        rows: what to read.
        max_tokens: longer rows are cut on the right.
        of: the tokens that are trained on, or every token that has a predecessor.
        conditioned: False reads the trained tokens with nothing before them (see `alone`).
        dtype: of the weights and activations; the loss itself is always float32.
        token_budget: padded tokens a batch; it changes the speed and nothing else.
    """
    opened = open_model(path, dtype=dtype)
    tokens = encoded(path, rows, max_tokens)
    if of == "all":
        tokens = Encoded(tokens.ids, tokens.starts, np.ones_like(tokens.trained), tokens.cut, tokens.template)
    if not conditioned:
        tokens = alone(tokens, opened.tokenizer.bos_token_id)
    return row_statistics(opened, tokens, negative_log_likelihood, token_budget=token_budget)


def alone(tokens: Encoded, begin: int | None) -> Encoded:
    """Only the trained tokens of each row, after the begin token where the tokenizer has one.

    Without a begin token the first answer token has no predecessor and is not counted; whoever compares with
    the conditioned loss must leave it out there too.
    """
    first = np.array([] if begin is None else [begin], np.int32)
    ids = [np.concatenate([first, row[mask]]) for row, mask in map(tokens.row, range(len(tokens)))]
    mask = [np.arange(len(row)) >= len(first) for row in ids]
    return join(ids, mask, tokens.cut, tokens.template)


def row_statistics(
    opened: Opened, tokens: Encoded, statistic: Statistic, *, token_budget: int = TOKEN_BUDGET
) -> tuple[Float[np.ndarray, " b *k"], Int[np.ndarray, " b"]]:
    """Each row's sum of `statistic` over its trained tokens that have a predecessor, and their number.

    A statistic of k numbers a token gives k sums a row.

    Logits exist only for the positions that predict those tokens, some hundred at a time. Rows are filled up
    on the right; a causal model cannot look there, so no mask is needed and attention takes its causal path.
    """
    counts = tokens.answer_tokens()
    read = np.flatnonzero(counts)  # a row without a trained token costs nothing
    head = head_of(opened.model)
    sums: np.ndarray | None = None
    with torch.inference_mode():
        parts = (read[some] for some in batches(tokens.lengths()[read], token_budget))
        for rows, found in halving.each(parts, lambda rows: _batch(opened, head, tokens, rows, statistic)):
            if sums is None:
                sums = np.zeros((len(tokens), *found.shape[1:]))
            sums[rows] = found
    return np.zeros(len(tokens)) if sums is None else sums, counts


def _batch(
    opened: Opened, head: Callable[[torch.Tensor], torch.Tensor], tokens: Encoded, rows: Int[np.ndarray, " b"],
    statistic: Statistic,
) -> Float[np.ndarray, " b *k"]:  # fmt: skip
    ids = torch.from_numpy(padded(tokens.ids, tokens.starts, rows, opened.pad_id)).to(opened.device)  # (b, s)
    hidden = opened.model.base_model(input_ids=ids, use_cache=False).last_hidden_state  # (b, s, d)
    owner, place = predicted(tokens, rows)  # (m,), (m,)
    at_row, at = torch.from_numpy(owner).to(opened.device), torch.from_numpy(place).to(opened.device)
    values = torch.cat(
        [
            statistic(head(hidden[r, s - 1]).float(), ids[r, s])
            for r, s in zip(at_row.split(HEAD_SLICE), at.split(HEAD_SLICE), strict=True)
        ]
    )
    b, s = ids.shape
    meter.count(flops=flops.forward(opened.architecture, b * s, b * s * s, len(owner)), tokens=b * s)
    out = torch.zeros((b, *values.shape[1:]), dtype=torch.float64)
    return out.index_add_(0, torch.from_numpy(owner), values.double().cpu()).numpy()


def predicted(tokens: Encoded, rows: Int[np.ndarray, " b"]) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Row of the batch and place in the row of every trained token that has a predecessor."""
    places = [np.flatnonzero(tokens.row(int(row))[1][1:]) + 1 for row in rows]
    return np.repeat(np.arange(len(rows)), [len(p) for p in places]), np.concatenate(places)
