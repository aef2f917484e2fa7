"""How each model family's config is read into the fields of an `Architecture`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thresher.compute.architecture import Matrix, role_of
from thresher.core.suggest import unknown
from thresher.errors import ModelError

Fields = dict[str, Any]


def read(config: Any) -> Fields:
    """The fields of an Architecture.

    Raises:
        ModelError: an unknown family, or a number the family needs is missing.
    """
    config = getattr(config, "text_config", None) or config
    family = str(getattr(config, "model_type", ""))
    if family not in _READERS:
        raise ModelError(
            f"{unknown('priced architecture', family or type(config).__name__, _READERS)} "
            "Or open the model and count them with Architecture.of_model(model)."
        )
    return {"family": family, **_READERS[family](config, family)}


def _need(config: Any, *names: str) -> int:
    """The first of these attributes that is a number.

    Raises:
        ModelError: it cannot be opened or used.
    """
    for name in names:
        value = getattr(config, name, None)
        if value is not None:
            return int(value)
    raise ModelError(
        f"cannot price the architecture {getattr(config, 'model_type', '?')!r}: its config has no "
        f"{' or '.join(names)}. "
        "Mend config.json, or count the opened model with Architecture.of_model(model)."
    )


def _shape(config: Any) -> tuple[int, int, int, int, int]:
    """Layers, width, vocabulary, query width, key width."""
    layers, width = _need(config, "num_hidden_layers"), _need(config, "hidden_size")
    heads = _need(config, "num_attention_heads")
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    dim = getattr(config, "head_dim", None) or width // heads
    return layers, width, _need(config, "vocab_size"), heads * dim, key_heads * dim


def _matrices(layers: int, **sizes: tuple[int, int]) -> tuple[Matrix, ...]:
    """Keyword `self_attn__q_proj=(into, out)` -> Matrix `self_attn.q_proj`."""
    named = {name.replace("__", "."): size for name, size in sizes.items()}
    return tuple(Matrix(name, role_of(name), *size, layers=layers) for name, size in named.items())


def _attention(layers: int, width: int, query: int, key: int) -> tuple[Matrix, ...]:
    return _matrices(
        layers,
        self_attn__q_proj=(width, query),
        self_attn__k_proj=(width, key),
        self_attn__v_proj=(width, key),
        self_attn__o_proj=(query, width),
    )


def _gated(layers: int, width: int, inner: int, prefix: str = "mlp") -> tuple[Matrix, ...]:
    return _matrices(
        layers,
        **{f"{prefix}__gate_proj": (width, inner), f"{prefix}__up_proj": (width, inner)},
        **{f"{prefix}__down_proj": (inner, width)},
    )


def _tied(config: Any) -> bool:
    return bool(getattr(config, "tie_word_embeddings", False))


def _llama(config: Any, family: str) -> Fields:
    """Gated feed-forward, grouped queries: Llama and its kin, with or without experts."""
    layers, width, vocab, query, key = _shape(config)
    biased = getattr(config, "attention_bias", False)
    biases = (query + 2 * key) * (bool(biased) or family.startswith("qwen2")) + width * bool(biased)
    norms = width * (4 if family in ("gemma2", "gemma3_text") else 2)
    if family in ("qwen3", "qwen3_moe", "gemma3_text"):
        norms += 2 * _need(config, "head_dim")  # queries and keys are normed too
    if getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None):
        feed_forward = _experts(config, family, layers, width)
    else:
        inner = _need(config, "intermediate_size")
        feed_forward = _gated(layers, width, inner)
        biases += (2 * inner + width) * bool(getattr(config, "mlp_bias", False))
    return {
        "layers": layers, "width": width, "attention_width": query, "vocab": vocab,
        "matrices": _attention(layers, width, query, key) + feed_forward,
        "head": True, "tied": _tied(config), "lookups": vocab * width,
        "others": layers * (norms + biases) + width,
        "normed_output": family in ("gemma2", "gemma3_text"),
    }  # fmt: skip


def _experts(config: Any, family: str, layers: int, width: int) -> tuple[Matrix, ...]:
    """Routed experts, of which each token meets a few; layers without them have one feed-forward part."""
    held, active = _need(config, "num_local_experts", "num_experts"), _need(config, "num_experts_per_tok")
    inner = _need(config, "moe_intermediate_size", "intermediate_size")
    step = getattr(config, "decoder_sparse_step", 1)
    plain = set(getattr(config, "mlp_only_layers", None) or ())
    sparse = sum(i not in plain and (i + 1) % step == 0 for i in range(layers))
    matrices = (
        Matrix("mlp.experts.gate_up", "up", width, 2 * inner, sparse, held, active),
        Matrix("mlp.experts.down", "down", inner, width, sparse, held, active),
        Matrix("mlp.gate", "router", width, held, sparse),
    )
    if family == "qwen2_moe":
        shared = _need(config, "shared_expert_intermediate_size")
        matrices += _gated(sparse, width, shared, "mlp__shared_expert")
        matrices += (Matrix("mlp.shared_expert_gate", "router", width, 1, sparse),)
    if sparse < layers:
        matrices += _gated(layers - sparse, width, _need(config, "intermediate_size"))
    return matrices


def _phi3(config: Any, family: str) -> Fields:
    """Llama with its matrices fused."""
    layers, width, vocab, query, key = _shape(config)
    inner = _need(config, "intermediate_size")
    matrices = _matrices(
        layers,
        self_attn__qkv_proj=(width, query + 2 * key),
        self_attn__o_proj=(query, width),
        mlp__gate_up_proj=(width, 2 * inner),
        mlp__down_proj=(inner, width),
    )
    return {
        "layers": layers, "width": width, "attention_width": query, "vocab": vocab, "matrices": matrices,
        "head": True, "tied": _tied(config), "lookups": vocab * width, "others": (2 * layers + 1) * width,
    }  # fmt: skip


def _gpt_neox(config: Any, family: str) -> Fields:
    """Plain feed-forward beside attention; rotary positions cost no product of matrices, partial or not."""
    layers, width, vocab, query, _ = _shape(config)
    inner = _need(config, "intermediate_size")
    matrices = _matrices(
        layers,
        attention__query_key_value=(width, 3 * width),
        attention__dense=(width, width),
        mlp__dense_h_to_4h=(width, inner),
        mlp__dense_4h_to_h=(inner, width),
    )
    biases = 4 * width * bool(getattr(config, "attention_bias", True)) + inner + width
    return {
        "layers": layers, "width": width, "attention_width": query, "vocab": vocab, "matrices": matrices,
        "head": True, "tied": _tied(config), "lookups": vocab * width,
        "others": layers * (4 * width + biases) + 2 * width,
        "parallel": bool(getattr(config, "use_parallel_residual", True)),
        "normed_output": getattr(config, "hidden_dropout", 0.0) > 0,
    }  # fmt: skip


def _gpt2(config: Any, family: str) -> Fields:
    """Conv1D matrices, learnt positions."""
    layers, width, vocab, _, _ = _shape(config)
    inner = getattr(config, "n_inner", None) or 4 * width
    matrices = _matrices(
        layers,
        attn__c_attn=(width, 3 * width),
        attn__c_proj=(width, width),
        mlp__c_fc=(width, inner),
        mlp__c_proj=(inner, width),
    )
    return {
        "layers": layers, "width": width, "attention_width": width, "vocab": vocab, "matrices": matrices,
        "head": True, "tied": bool(getattr(config, "tie_word_embeddings", True)),
        "lookups": (vocab + _need(config, "n_positions", "max_position_embeddings")) * width,
        "others": layers * (4 * width + 4 * width + inner + width) + 2 * width,
        "normed_output": getattr(config, "resid_pdrop", 0.0) > 0,
    }  # fmt: skip


def _phi(config: Any, family: str) -> Fields:
    """Plain feed-forward beside attention, every matrix with a bias, the head too."""
    layers, width, vocab, query, key = _shape(config)
    inner = _need(config, "intermediate_size")
    matrices = _attention(layers, width, query, key)[:3] + _matrices(
        layers, self_attn__dense=(query, width), mlp__fc1=(width, inner), mlp__fc2=(inner, width)
    )
    biases = query + 2 * key + width + inner + width
    return {
        "layers": layers, "width": width, "attention_width": query, "vocab": vocab, "matrices": matrices,
        "head": True, "tied": _tied(config), "lookups": vocab * width,
        "others": layers * (2 * width + biases) + 2 * width + vocab, "parallel": True,
        "normed_output": getattr(config, "resid_pdrop", 0.0) > 0,
    }  # fmt: skip


def _bert(config: Any, family: str) -> Fields:
    """An encoder without a head; its pooler sees one position a row and is held but not priced."""
    layers, width, vocab, query, _ = _shape(config)
    distilled = family == "distilbert"
    inner = _need(config, "hidden_dim" if distilled else "intermediate_size")
    names = _DISTILBERT_NAMES if distilled else _BERT_NAMES
    sizes = [(width, width)] * 4 + [(width, inner), (inner, width)]
    types = 0 if distilled else getattr(config, "type_vocab_size", 0)
    pooler = 0 if distilled else width * width + width
    return {
        "layers": layers, "width": width, "attention_width": query, "vocab": vocab,
        "matrices": _matrices(layers, **dict(zip(names, sizes, strict=True))), "head": False, "tied": False,
        "lookups": (vocab + _need(config, "max_position_embeddings") + types) * width,
        "others": layers * (4 * width + 5 * width + inner) + 2 * width + pooler, "normed_output": True,
    }  # fmt: skip


_BERT_NAMES = (
    "attention__self__query", "attention__self__key", "attention__self__value", "attention__output__dense",
    "intermediate__dense", "output__dense",
)  # fmt: skip
_DISTILBERT_NAMES = (
    "attention__q_lin", "attention__k_lin", "attention__v_lin", "attention__out_lin",
    "ffn__lin1", "ffn__lin2",
)  # fmt: skip
_READERS: dict[str, Callable[[Any, str], Fields]] = {
    **dict.fromkeys(("llama", "mistral", "smollm3", "qwen2", "qwen3"), _llama),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text"), _llama),
    **dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe"), _llama),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "distilbert"), _bert),
    "phi3": _phi3,
    "gpt_neox": _gpt_neox,
    "gpt2": _gpt2,
    "phi": _phi,
}
