"""Hidden states of a row as one vector: exact, whatever row stands beside whatever other."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int

from thresher.compute import flops, meter
from thresher.compute.flops import Architecture
from thresher.data.chat import Encoded
from thresher.models import halving
from thresher.models.batching import batches, padded

TOKEN_BUDGET = 2048  # padded tokens a batch

Pooling = Literal["mean", "cls", "last", "weighted", "padded"]


@torch.inference_mode()
def pooled(
    model: Any, tokens: Encoded, pooling: Pooling, *, pad_id: int, architecture: Architecture, device: str = "cpu",
    token_budget: int = TOKEN_BUDGET, fill: int | None = None,
) -> Float32[np.ndarray, "b d"]:  # fmt: skip
    """The last hidden states of each row, over its tokens marked in `tokens.trained`, as one vector.

        mean      sum_u h_u / s          weighted  sum_u u h_u / sum_u u, u = 1.. over the marked tokens
        cls       the first marked       last      the last marked
        padded    sum_u h_u / S, over all positions of a row that is filled up to S = `fill`

    A row without a marked token has no vector: NaN, and it is not read.

    Args:
        model: gives `last_hidden_state` (b, s, d) of token ids: after the final norm, as transformers has it.
        tokens: rows, and which of their tokens count.
        pooling: how states become one vector.
        pad_id: fills rows up on the right; masked out of attention, and of every pooling but `padded`.
        architecture: prices what runs.
        device: where the model is.
        token_budget: padded tokens a batch; it changes the speed and nothing else.
        fill: every row is filled up to so many tokens, the longest row's or more; None: to the longest of its batch.
    """
    read = np.flatnonzero(marked(tokens))
    out = np.full((len(tokens), architecture.width), np.nan, np.float32)
    lengths = tokens.lengths()[read] if fill is None else np.full(len(read), fill)
    parts = (read[some] for some in batches(lengths, token_budget))
    for rows, (found, s) in halving.each(
        parts, lambda rows: vectors(model, tokens, rows, pooling, pad_id=pad_id, device=device, fill=fill)
    ):
        out[rows] = found.cpu().numpy()
        meter.count(flops=flops.embed(architecture, len(rows) * s, len(rows) * s * s), tokens=len(rows) * s)
    return out


def vectors(
    model: Any, tokens: Encoded, rows: Int[np.ndarray, " b"], pooling: Pooling, *, pad_id: int, device: str,
    fill: int | None = None,
) -> tuple[torch.Tensor, int]:  # fmt: skip
    """(b, d) float32 of these rows in one pass, and the length they were filled up to."""
    filled = padded(tokens.ids, tokens.starts, rows, pad_id)
    if fill is not None:
        filled = np.pad(filled, ((0, 0), (0, fill - filled.shape[1])), constant_values=pad_id)
    ids = torch.from_numpy(filled).to(device)  # (b, s)
    there, weight = (torch.from_numpy(part).to(device) for part in _weights(tokens, rows, ids.shape[1], pooling))
    mask = None if bool(there.all()) else there.long()
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state  # (b, s, d)
    return torch.bmm(weight[:, None], hidden.float())[:, 0], ids.shape[1]


def marked(tokens: Encoded) -> Int[np.ndarray, " n"]:
    """Marked tokens of each row."""
    sums = np.concatenate([[0], np.cumsum(tokens.trained, dtype=np.int64)])
    return sums[tokens.starts[1:]] - sums[tokens.starts[:-1]]


def _weights(
    tokens: Encoded, rows: Int[np.ndarray, " b"], longest: int, pooling: Pooling
) -> tuple[Bool[np.ndarray, "b s"], Float32[np.ndarray, "b s"]]:
    """Which positions hold a token, and what each counts; weights of a row sum to one."""
    there = np.zeros((len(rows), longest), bool)
    weight = np.zeros((len(rows), longest), np.float32)
    for at, row in enumerate(rows):
        _, counting = tokens.row(int(row))
        there[at, : len(counting)] = True
        places = np.flatnonzero(counting)
        if pooling == "cls":
            weight[at, places[0]] = 1
        elif pooling == "last":
            weight[at, places[-1]] = 1
        elif pooling == "padded":
            weight[at] = 1 / longest
        else:
            counts = np.arange(1.0, len(places) + 1) if pooling == "weighted" else np.ones(len(places))
            weight[at, places] = counts / counts.sum()
    return there, weight
