"""The matrices of a transformer: what prices it, read from its config or from the model itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from thresher.errors import ModelError

Role = Literal["query", "key", "value", "qkv", "out", "up", "down", "router", "other"]

ROLES: dict[str, Role] = {
    "q_proj": "query", "query": "query", "q_lin": "query",
    "k_proj": "key", "key": "key", "k_lin": "key",
    "v_proj": "value", "value": "value", "v_lin": "value",
    "qkv_proj": "qkv", "query_key_value": "qkv", "c_attn": "qkv",
    "o_proj": "out", "attn.c_proj": "out", "attention.dense": "out", "attention.output.dense": "out",
    "out_lin": "out", "out_proj": "out", "self_attn.dense": "out",
    "gate_proj": "up", "up_proj": "up", "gate_up_proj": "up", "c_fc": "up", "fc1": "up", "lin1": "up",
    "dense_h_to_4h": "up", "intermediate.dense": "up",
    "down_proj": "down", "mlp.c_proj": "down", "fc2": "down", "lin2": "down", "dense_4h_to_h": "down",
    "output.dense": "down",
}  # fmt: skip


@dataclass(frozen=True)
class Matrix:
    """One weight matrix of `layers` layers; of its `held` copies (experts) a token meets `active`."""

    name: str  # the module's name inside its layer, as peft matches it
    role: Role
    into: int
    out: int
    layers: int
    held: int = 1
    active: int = 1

    @property
    def multiplying(self) -> int:
        """Parameters one token is multiplied with, all layers together."""
        return self.into * self.out * self.layers * self.active

    def named(self, target: str) -> bool:
        """Whether an adapter target means this matrix: the name, or its last parts."""
        return self.name == target or self.name.endswith("." + target)


@dataclass(frozen=True)
class Architecture:
    """The shape of one transformer.

    Architecture.of(config)          from a transformers config, no weights needed
    Architecture.of_model(model)     from the modules of any model, for families `of` does not know
    """

    family: str
    layers: int
    width: int
    attention_width: int  # heads times their dimension: what the quadratic part of attention costs
    vocab: int
    matrices: tuple[Matrix, ...]
    head: bool  # whether logits are computed at all; encoders have none
    tied: bool  # the head is the embedding table: held once, multiplied all the same
    lookups: int  # parameters of tables that are only looked up (a tied table too)
    others: int  # norms and biases
    parallel: bool = False  # the feed-forward part reads the block's input beside attention, not after it
    normed_output: bool = False  # a block ends in a norm or dropout, so its last product is saved

    @property
    def multiplying(self) -> int:
        """N of METHODS.md 0.4: active parameters that multiply activations, the head counted once."""
        return self.body + self.head_matrix

    @property
    def body(self) -> int:
        """`multiplying` without the head."""
        return sum(m.multiplying for m in self.matrices)

    @property
    def head_matrix(self) -> int:
        """Parameters of the output head, 0 where there is none."""
        return self.width * self.vocab if self.head else 0

    @property
    def params(self) -> int:
        """Every parameter, embeddings and idle experts included."""
        held = sum(m.into * m.out * m.layers * m.held for m in self.matrices)
        return held + self.lookups + self.others + (0 if self.tied else self.head_matrix)

    @classmethod
    def of(cls, config: Any) -> Architecture:
        """Read a transformers config by its attributes.

        Raises:
            ModelError: the family is not known, or the config lacks a number.
        """
        from thresher.compute.families import read

        return cls(**read(config))

    @classmethod
    def of_model(cls, model: Any, attention_width: int | None = None) -> Architecture:
        """Count the linear modules of a real model, whatever its family.

        Counts `Linear` and `Conv1D` modules (by class name); weights used without such a module (fused
        experts) are not seen. Which matrices feed which is taken from their names where those are usual.

        Raises:
            ModelError: no repeated layers, or the attention width is neither given nor in the config.
        """
        found = _linear_modules(model)
        head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
        table = model.get_input_embeddings()
        matrices = _grouped({name: shape for name, (module, shape) in found.items() if module is not head})
        repeated = [m.layers for m in matrices if m.layers > 1]
        if not matrices:
            raise ModelError(
                f"{type(model).__name__} has no Linear or Conv1D module inside numbered layers to count."
            )
        width, vocab = int(table.weight.shape[1]), int(table.weight.shape[0])
        tied = head is not None and head.weight is table.weight
        own = sum(m.into * m.out * m.layers for m in matrices)
        own += width * vocab if head is not None and not tied else 0
        every = sum(p.numel() for p in model.parameters())
        return cls(
            family=str(getattr(model.config, "model_type", type(model).__name__)),
            layers=max(repeated, default=1),
            width=width,
            attention_width=attention_width or _attention_width(model.config),
            vocab=vocab,
            matrices=matrices,
            head=head is not None,
            tied=tied,
            lookups=width * vocab,
            others=every - own - width * vocab,
        )


def role_of(name: str) -> Role:
    """What a module usually does, by the longest known ending of its name."""
    endings = [name.split(".", i)[-1] for i in range(name.count(".") + 1)]
    return next((ROLES[end] for end in endings if end in ROLES), "other")


def _linear_modules(model: Any) -> dict[str, tuple[Any, tuple[int, int]]]:
    """Name -> (module, (into, out)); Conv1D keeps its weight the other way round."""
    found = {}
    for name, module in model.named_modules():
        kind = type(module).__name__
        if kind in ("Linear", "Conv1D"):
            rows, columns = (int(size) for size in module.weight.shape)
            found[name] = (module, (columns, rows) if kind == "Linear" else (rows, columns))
    return found


def _grouped(shapes: dict[str, tuple[int, int]]) -> tuple[Matrix, ...]:
    """Modules of one name and shape in numbered layers become one Matrix; others stay out."""
    layers: dict[tuple[str, tuple[int, int]], int] = {}
    for name, shape in shapes.items():
        parts = re.fullmatch(r".*?\.\d+\.(.+)", name)
        if parts:
            key = (parts[1], shape)
            layers[key] = layers.get(key, 0) + 1
    return tuple(Matrix(name, role_of(name), *shape, layers=count) for (name, shape), count in layers.items())


def _attention_width(config: Any) -> int:
    config = getattr(config, "text_config", None) or config
    heads, width = getattr(config, "num_attention_heads", None), getattr(config, "hidden_size", None)
    if not heads or not width:
        raise ModelError(
            "the config names no num_attention_heads and hidden_size. "
            "Pass attention_width = heads times head size."
        )
    return int(heads * (getattr(config, "head_dim", None) or width // heads))
