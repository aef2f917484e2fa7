"""Perplexity over sliding windows, as the compute-constrained paper's code takes it."""

from __future__ import annotations

import numpy as np

from thresher.core.pool import Pool
from thresher.data.chat import Encoded
from thresher.models import load
from thresher.models.loss import negative_log_likelihood, row_statistics

STRIDE = 512


def perplexity(model: str, rows: Pool, window: int, *, dtype: str) -> np.ndarray:
    """(b,) exp of the unweighted mean of window losses, over all tokens of "user A:assistant".

    Source: the released code of Yin & Rush 2025, arXiv:2410.16208: windows of 2,048 tokens with stride 512, each
    scored on the tokens that the window before it did not score.
    """
    opened = load.open_model(model, dtype=dtype)
    pieces, owner = [], []
    for i, messages in enumerate(rows.messages()):
        said = {role: next((m["content"] for m in messages if m["role"] == role), "") for role in ("user", "assistant")}
        ids = opened.tokenizer(said["user"] + " A:" + said["assistant"], add_special_tokens=True)["input_ids"]
        for start, stop, fresh in windows(len(ids), window):
            pieces.append((ids[start:stop], fresh))
            owner.append(i)
    sums, counts = row_statistics(opened, _encoded(pieces), negative_log_likelihood)  # (windows,), (windows,)
    mean = sums / np.maximum(counts, 1)
    scored = np.bincount(owner, weights=counts > 0, minlength=len(rows))
    total = np.bincount(owner, weights=mean * (counts > 0), minlength=len(rows))
    return np.exp(total / np.maximum(scored, 1))


def windows(s: int, window: int) -> list[tuple[int, int, int]]:
    """(start, stop, tokens scored at the end) of each window over s tokens."""
    found, before = [], 0
    for start in range(0, s, STRIDE):
        stop = min(start + window, s)
        found.append((start, stop, stop - before))
        before = stop
        if stop == s:
            break
    return found


def _encoded(pieces: list[tuple[list[int], int]]) -> Encoded:
    lengths = np.array([len(ids) for ids, _ in pieces], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    trained = np.zeros(int(starts[-1]), dtype=bool)
    for stop, (_, fresh) in zip(starts[1:], pieces, strict=True):
        trained[stop - fresh : stop] = True
    ids = np.concatenate([np.asarray(ids, dtype=np.int32) for ids, _ in pieces])
    return Encoded(ids=ids, starts=starts, trained=trained, cut=np.zeros(len(pieces), dtype=np.int64), template="ccds")
