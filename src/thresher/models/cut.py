"""cut:MODEL:LAYERS[:VOCAB] -> the first layers and the last one of a model, on the pool's most frequent tokens."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from thresher.core.pool import Pool
from thresher.errors import ModelError
from thresher.models import folder as folders
from thresher.models.smaller_vocab import kept_tokens, restrict

VERSION = 1  # raise it when what is kept changes

_LAYER = re.compile(r"(.*\b(?:layers|h|blocks)\.)(\d+)(\..*)")


def make(name: str, source: Path, *, layers: int, vocab: int | None, pool: Pool | None, home: Path) -> Path:
    """The folder of the cut model, made once for a source's weights, a pool and the sizes.

    What it computes is worse than chance until it is trained: `random_start` is true in its record.

    Raises:
        ModelError: more layers or tokens than there are, an adapter, or no pool to choose a vocabulary by.
    """
    if folders.is_adapter(source):
        raise ModelError(f"{name}: {source} is an adapter. Merge it into its base model first (merge_and_unload).")
    config = AutoConfig.from_pretrained(source)
    there = config.get_text_config().num_hidden_layers
    if not 1 <= layers <= there:
        raise ModelError(f"{name} asks for {layers} layers; {source.name} has {there}. Ask for 1 to {there}.")
    if vocab is not None and pool is None:
        raise ModelError(f"{name} cuts the vocabulary to the pool's most frequent tokens, and there is no pool here.")
    mark = [
        folders.weights_hash(source),
        str(layers),
        str(vocab),
        pool.fingerprint if vocab and pool else "",
        str(VERSION),
    ]
    sign = hashlib.sha256(" ".join(mark).encode()).hexdigest()[:16]
    about = {
        "origin": name, "random_start": True, "made_by": "cut", "source_weights": mark[0], "layers": layers,
        "vocab": vocab, "vocab_pool": mark[3] or None, "version": VERSION,
    }  # fmt: skip
    return folders.build(
        home / f"cut-{layers}-{vocab or 'all'}-{sign}", lambda part: _write(part, source, layers, vocab, pool), about
    )


def _write(part: Path, source: Path, layers: int, vocab: int | None, pool: Pool | None) -> None:
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
    state, config = model.state_dict(), model.config
    numbers = [*range(layers - 1), config.get_text_config().num_hidden_layers - 1]
    values = _fewer_layers(config.to_dict(), numbers)
    state = _pick_layers(state, numbers)
    if vocab is not None and pool is not None:
        kept = kept_tokens(tokenizer, pool, vocab)
        rows = torch.tensor(kept)
        state = {key: value[rows] if value.shape[:1] == (config.vocab_size,) else value for key, value in state.items()}
        tokenizer = restrict(tokenizer, kept)
        values |= {"vocab_size": len(kept), **_special_ids(tokenizer)}
    small = type(model)(type(config).from_dict({**values, "dtype": "float32"}))
    small.load_state_dict(state)
    small.tie_weights()
    small.generation_config.eos_token_id = tokenizer.eos_token_id
    small.save_pretrained(part)
    tokenizer.save_pretrained(part)


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int | None]:
    return {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}


def _fewer_layers(config: dict[str, Any], numbers: list[int]) -> dict[str, Any]:
    """The configuration of these layers only; what it lists once a layer is picked from as well."""
    count_key = next(key for key in ("num_hidden_layers", "n_layer") if key in config)
    cut = {
        key: [value[i] for i in numbers] if key == "layer_types" and value else value for key, value in config.items()
    }
    return {**cut, count_key: len(numbers)}


def _pick_layers(state: dict[str, torch.Tensor], numbers: list[int]) -> dict[str, torch.Tensor]:
    """Weights of these layers under their new numbers, and everything that is in no layer."""
    new = {old: at for at, old in enumerate(numbers)}
    picked = {}
    for key, value in state.items():
        match = _LAYER.fullmatch(key)
        if match is None:
            picked[key] = value
        elif int(match[2]) in new:
            picked[f"{match[1]}{new[int(match[2])]}{match[3]}"] = value
    return picked
