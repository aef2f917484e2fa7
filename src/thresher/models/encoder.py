"""Sentence encoders: an open model, its window, and how its makers pool; read with transformers alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from safetensors.torch import load_model
from transformers import AutoModel, PreTrainedTokenizerBase

from thresher.compute import meter
from thresher.compute.flops import Architecture
from thresher.data.chat import Encoded, join
from thresher.errors import ModelError
from thresher.models import load
from thresher.models.device import choose_device, choose_dtype
from thresher.models.folder import UNREADABLE, trusted
from thresher.models.hidden import TOKEN_BUDGET, Pooling, pooled
from thresher.models.modules import Dense, Modules
from thresher.models.quiet import quiet

ROWS_AT_ONCE = 1024  # texts tokenised together


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder that is open."""

    model: Any  # (b, s) ids -> last_hidden_state (b, s, d)
    tokenizer: PreTrainedTokenizerBase
    device: str
    dtype: str
    pad_id: int
    architecture: Architecture
    dense: tuple[Dense, ...]  # the checkpoint's own layers after pooling

    def encode(
        self, tokens: Encoded, pooling: Pooling, *, dense: bool = True, token_budget: int = TOKEN_BUDGET,
        fill: int | None = None,
    ) -> Float32[np.ndarray, "b d"]:  # fmt: skip
        """One vector a row, not normalised."""
        out = pooled(
            self.model, tokens, pooling, pad_id=self.pad_id, architecture=self.architecture, device=self.device,
            token_budget=token_budget, fill=fill,
        )  # fmt: skip
        for layer in self.dense if dense else ():
            meter.count(flops=layer.flops(len(out)))
            out = layer(out)
        return out


_open: OrderedDict[tuple, Encoder] = OrderedDict()


def open_encoder(path: str, *, device: str = "auto", dtype: str = "auto", weights: str | None = None) -> Encoder:
    """The encoder of a resolved folder; the last one stays open.

    Args:
        path: the folder.
        device: "auto", "cpu", "cuda".
        dtype: "auto", or a precision.
        weights: a file of tuned weights, as `training.contrast` leaves it, in the place of the folder's own.

    Raises:
        ModelError: it cannot be opened.
    """  # noqa: DOC502
    device = choose_device(device)
    dtype = choose_dtype(dtype, device, architecture(path))
    key = (path, device, dtype, encoder_hash(path), weights and (weights, Path(weights).stat().st_mtime_ns))
    if key not in _open:
        _open.clear()
        with quiet():
            opened = load_encoder(path, device, dtype)
            if weights is not None:
                load_model(opened.model, weights)
            _open[key] = opened
    return _open[key]


def load_encoder(path: str, device: str, dtype: str) -> Encoder:
    """An encoder of one's own, in evaluation mode, no gradients.

    Raises:
        ModelError: it cannot be opened.
    """
    try:
        model = AutoModel.from_pretrained(
            path, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=trusted(path)
        )
    except UNREADABLE as error:
        raise ModelError(f"cannot open the encoder {path}: {error}") from error
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    tokenizer = load.open_tokenizer(path)
    model = model.to(device).eval().requires_grad_(False)
    return Encoder(
        model, tokenizer, device, dtype, load.padding(tokenizer)[0], architecture(path), Modules.of(path).dense
    )


@lru_cache(maxsize=8)
def architecture(path: str) -> Architecture:
    """What a pass is priced by; families that prices do not know are counted from their modules, without weights.

    Raises:
        ModelError: it cannot be told.
    """
    try:
        return load.architecture(path)
    except ModelError:
        config = load.config(path)
        try:
            with quiet(), torch.device("meta"):
                model = AutoModel.from_config(config)
        except ValueError as error:
            raise ModelError(f"cannot tell what reading with {path} costs: {error}") from error
        model = model.get_encoder() if config.is_encoder_decoder else model
        heads = getattr(config, "num_heads", None), getattr(config, "d_kv", None)  # as T5 calls them
        return Architecture.of_model(model, attention_width=heads[0] * heads[1] if all(heads) else None)


@lru_cache(maxsize=8)
def window(path: str) -> int:
    """The most tokens the encoder reads: as its makers say, else what its positions and tokenizer allow."""
    own = Modules.of(path).window
    positions = getattr(load.config(path), "max_position_embeddings", None) or 1 << 30
    limit = min(positions, load.open_tokenizer(path).model_max_length)
    return own or (int(limit) if limit < 1 << 20 else 512)


def pooling_of(path: str) -> Pooling:
    """As the folder's own pooling module says; the mean where it has none."""
    return Modules.of(path).pooling


def encoder_hash(path: str) -> str:
    """Sixty-four hex digits of all that decides a vector: weights, configuration, modules after pooling."""
    own = Modules.of(path).hash()
    return f"{load.weights_hash(path)[:48]}{own[:16]}" if own else load.weights_hash(path)


@lru_cache(maxsize=8)
def around(path: str) -> tuple[int, int]:
    """Special tokens that the tokenizer puts before and after every text."""
    found = load.open_tokenizer(path)(["a"], verbose=False).encodings
    special = found[0].special_tokens_mask if found else []
    own = [u for u, mark in enumerate(special) if not mark]
    return (own[0], len(special) - 1 - own[-1]) if own else (0, 0)


def tokenise(path: str, texts: list[str], max_tokens: int) -> Encoded:
    """Texts as the encoder reads them, its special tokens around them; every token counts, `cut` says what was lost.

    Raises:
        ModelError: the window is smaller than that.
    """
    positions = getattr(load.config(path), "max_position_embeddings", None)
    if positions is not None and max_tokens > positions:
        raise ModelError(f"{path} has {positions} positions and cannot read {max_tokens} tokens. Set max_tokens lower.")
    tokenizer = load.open_tokenizer(path)
    ids, cut = [], []
    for start in range(0, len(texts), ROWS_AT_ONCE):
        found = tokenizer(
            texts[start : start + ROWS_AT_ONCE], truncation=True, max_length=max_tokens, padding=False, verbose=False
        ).encodings
        if found is None:
            raise ModelError(f"the tokenizer of {path} has no tokenizer.json. Use an encoder with one.")
        ids += [np.asarray(one.ids, np.int32) for one in found]
        cut += [sum(len(part.ids) - sum(part.special_tokens_mask) for part in one.overflowing) for one in found]
    return join(ids, [np.ones(len(row), bool) for row in ids], np.asarray(cut, np.int64), "encoder")
