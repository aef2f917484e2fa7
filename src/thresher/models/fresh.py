"""A model's own copy for training, and the sign of a tokenizer."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from thresher.errors import ModelError
from thresher.models.folder import UNREADABLE, trusted
from thresher.models.load import open_tokenizer
from thresher.models.quiet import quiet


def fresh_model(path: str, *, dtype: str = "float32") -> PreTrainedModel:
    """The weights of a resolved model, never the copy that is kept open; adapters stay trainable.

    Raises:
        ModelError: it cannot be opened.
    """
    try:
        with quiet():
            return AutoModelForCausalLM.from_pretrained(
                path, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=trusted(path)
            )
    except UNREADABLE as error:
        raise ModelError(f"cannot open the model {path} for training: {error}") from error


@lru_cache(maxsize=8)
def tokenizer_hash(path: str) -> str:
    """Sixty-four hex digits of what decides a row's tokens: vocabulary, merges and chat template."""
    tokenizer = open_tokenizer(path)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend is not None else str(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(f"{vocabulary}\0{tokenizer.chat_template}".encode()).hexdigest()
