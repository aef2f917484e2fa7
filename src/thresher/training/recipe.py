"""Recipe: how a model is fine-tuned, and what that costs per row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import numpy as np
from jaxtyping import Float, Int

from thresher.compute import flops
from thresher.core import plain_yaml
from thresher.core.field_value import fitted
from thresher.core.suggest import unknown
from thresher.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters on a frozen base (peft)."""

    r: Annotated[int, "rank"] = 16
    alpha: Annotated[int, "scale, times 1/r"] = 32
    dropout: Annotated[float, "on the adapters' inputs"] = 0.0
    targets: Annotated[str | tuple[str, ...], "module names, or 'all-linear'"] = "all-linear"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one stage of training goes.

    Equal epochs: give `epochs` (the default). Equal steps: give `steps`; small subsets then repeat, and every
    subset costs the same to train on.
    """

    epochs: Annotated[float, "passes over the rows"] = 1.0
    steps: Annotated[int | None, "optimiser steps, instead of epochs: the equal-steps protocol"] = None
    batch_size: Annotated[int, "rows per optimiser step"] = 16
    micro_batch: Annotated[int, "rows per forward pass"] = 8
    learning_rate: Annotated[float, "peak"] = 2e-5
    schedule: Annotated[Literal["linear", "cosine", "constant"], "after the warm-up"] = "linear"
    warmup: Annotated[float, "share of the steps"] = 0.03
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    clip: Annotated[float, "gradient norm"] = 1.0
    max_tokens: Annotated[int, "rows are cut on the right to this length"] = 2048
    loss: Annotated[Literal["answer", "all"], "tokens that are trained on"] = "answer"
    order: Annotated[Literal["shuffle", "given"], "given: the order the rows were chosen in"] = "shuffle"
    lora: Annotated[Lora | None, "adapters; none means full fine-tuning"] = None
    precision: Annotated[Literal["auto", "float32", "bfloat16"], "auto: bfloat16 on GPUs, else float32"] = "auto"
    checkpointing: Annotated[bool, "recompute activations in the backward pass"] = False
    save_every: Annotated[int | None, "steps between resumable checkpoints"] = None
    report_to: Annotated[str, "the Trainer's trackers: none, or tensorboard,wandb,mlflow"] = "none"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "micro_batch", "learning_rate", "max_tokens"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"recipe: {name} must be above zero, not {getattr(self, name)!r}.")
        if self.steps is not None and self.steps < 1:
            raise RecipeError(f"recipe: steps must be at least 1, not {self.steps!r}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """A recipe from plain values.

        Raises:
            RecipeError: a field that does not exist, or a value that cannot be.
        """
        values = dict(values)
        lora = values.pop("lora", None)
        if lora is True:
            lora = {}
        if isinstance(lora, Mapping):
            targets = lora.get("targets", "all-linear")
            lora = _build(Lora, {**lora, "targets": tuple(targets) if isinstance(targets, list) else targets})
        return _build(cls, {**values, "lora": lora or None})

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """A recipe from a YAML file.

        Raises:
            RecipeError: the file is missing or is not a recipe.
        """
        try:
            values = plain_yaml.read(path)
        except FileNotFoundError:
            raise RecipeError(f"there is no recipe file {path}.") from None
        except (plain_yaml.BadYaml, OSError) as error:
            raise RecipeError(f"{path}: {error}.") from None
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for cards and keys."""
        return asdict(self)

    def with_steps(self, steps: int | None) -> Recipe:
        """The same recipe under the other protocol."""
        return replace(self, steps=steps)


def _build(cls: type, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
    hints = get_type_hints(cls)
    made = {}
    for name, value in values.items():
        if name not in hints:
            raise RecipeError("recipe: " + unknown("field", str(name), hints))
        try:
            made[name] = fitted(hints[name], _number(value) if hints[name] is float else value)
        except ValueError as error:
            raise RecipeError(f"recipe: {name} {error}.") from None
    return cls(**made)


def _number(value: object) -> object:
    """YAML reads 2e-5 as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def cut_into_steps(recipe: Recipe, n: int, devices: int = 1) -> tuple[int, int, int]:
    """Rows of a forward pass, forward passes of an optimiser step, and optimiser steps in all, for n rows."""
    micro = min(recipe.micro_batch, recipe.batch_size, n)
    accumulate = max(1, round(min(recipe.batch_size, n) / (micro * devices)))
    steps = recipe.steps or math.ceil(recipe.epochs * math.ceil(n / (micro * accumulate * devices)))
    return micro, accumulate, steps


def step_flops(recipe: Recipe, arch: flops.Architecture, tokens: int | float, square: float) -> float:
    """Forward, backward and adapters over some tokens, once."""
    if recipe.lora is None:
        return flops.train(arch, tokens, square, checkpointing=recipe.checkpointing)
    lora = recipe.lora
    return flops.lora_train(arch, lora.r, lora.targets, tokens, square, checkpointing=recipe.checkpointing)


def train_flops(recipe: Recipe, arch: flops.Architecture, lengths: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """What training on each row costs over all its epochs, by its real tokens after truncation."""
    s = np.minimum(lengths, recipe.max_tokens).astype(np.float64)
    per_token = step_flops(recipe, arch, 1.0, 0.0)
    per_square = step_flops(recipe, arch, 0.0, 1.0)
    return recipe.epochs * (per_token * s + per_square * s**2)


def total_flops(recipe: Recipe, arch: flops.Architecture, lengths: Int[np.ndarray, " k"]) -> float:
    """The price of one training run on these rows, under either protocol."""
    if len(lengths) == 0:
        return 0.0
    one_epoch = float(train_flops(recipe, arch, lengths).sum()) / recipe.epochs
    passes = recipe.epochs if recipe.steps is None else recipe.steps * recipe.batch_size / len(lengths)
    return one_epoch * passes
