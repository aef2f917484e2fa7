"""A byte-pair tokenizer restricted to some of its tokens; every text can still be written with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from thresher.core.pool import Pool
from thresher.data.chat import encode
from thresher.errors import ModelError

Pairs = list[tuple[str, str]]


def kept_tokens(tokenizer: PreTrainedTokenizerBase, pool: Pool, size: int) -> list[int]:
    """Ids to keep, ascending: what no text can do without, then the pool's most frequent tokens up to `size`.

    A token comes with the shorter tokens it is merged from, or it could never be formed.

    Raises:
        ModelError: not a byte-pair tokenizer, or `size` does not hold its single bytes and special tokens.
    """
    inner = _description(tokenizer)
    vocab: dict[str, int] = inner["model"]["vocab"]
    kept = {token["id"] for token in inner["added_tokens"]}
    parts: dict[int, tuple[int, int]] = {}
    for left, right in _pairs(inner):
        parts.setdefault(vocab[left + right], (vocab[left], vocab[right]))
    kept |= set(vocab.values()) - set(parts)  # the alphabet: whatever is not merged from anything
    if not len(kept) < size <= len(vocab.keys() | {token["content"] for token in inner["added_tokens"]}):
        raise ModelError(
            f"cannot cut the vocabulary to {size:,} tokens: {len(kept):,} are bytes and special tokens no text can do "
            f"without, and there are {len(tokenizer):,} in all."
        )
    ids = encode(pool, tokenizer, max_tokens=1 << 20).ids
    count = np.bincount(ids, minlength=len(tokenizer))
    for token in np.argsort(-count, kind="stable"):
        wanted = _with_parts(int(token), parts) - kept
        if len(kept) + len(wanted) <= size:
            kept |= wanted
        if len(kept) == size or not count[token]:
            break
    return sorted(kept)


def _with_parts(token: int, parts: dict[int, tuple[int, int]]) -> set[int]:
    """The token and everything it is merged from."""
    found: set[int] = set()
    left = [token]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left.extend(parts.get(one, ()))
    return found


def restrict(tokenizer: PreTrainedTokenizerBase, kept: Iterable[int]) -> PreTrainedTokenizerFast:
    """The tokenizer with these ids only, numbered anew in the same order."""
    new = {old: at for at, old in enumerate(kept)}
    inner = _description(tokenizer)
    pairs = _pairs(inner)
    vocab = {token: new[old] for token, old in inner["model"]["vocab"].items() if old in new}
    inner["model"]["vocab"] = vocab
    inner["model"]["merges"] = [[a, b] for a, b in pairs if a in vocab and b in vocab and a + b in vocab]
    inner["added_tokens"] = [{**token, "id": new[token["id"]]} for token in inner["added_tokens"]]
    inner["post_processor"] = _renumber(inner["post_processor"], new)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(inner)), chat_template=tokenizer.chat_template,
        model_max_length=tokenizer.model_max_length, padding_side=tokenizer.padding_side,
        clean_up_tokenization_spaces=False, **tokenizer.special_tokens_map,
    )  # fmt: skip


def _description(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    inner = json.loads(backend.to_str()) if backend is not None else {"model": {}}
    if inner["model"].get("type") != "BPE":
        raise ModelError(
            f"only byte-pair tokenizers can be cut, and this one is {inner['model'].get('type', 'of another kind')}. "
            "Leave the vocabulary whole: cut:MODEL:LAYERS."
        )
    return {**inner, "truncation": None, "padding": None}


def _pairs(inner: dict[str, Any]) -> Pairs:
    """Merges in order; older files write a pair as one string."""
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ", 1)) for pair in inner["model"]["merges"]]


def _renumber(part: Any, new: dict[int, int]) -> Any:
    """Token ids inside a post-processor: `ids` lists, and (token, id) pairs of the older kinds."""
    if isinstance(part, dict):
        return {
            key: [new[i] for i in value] if key == "ids" else
            [value[0], new[value[1]]] if key in ("sep", "cls") else _renumber(value, new)
            for key, value in part.items()
        }  # fmt: skip
    return [_renumber(item, new) for item in part] if isinstance(part, list) else part
