"""Stops of a training run: something is read at chosen steps, and the run can go on from the last of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import TrainerCallback

from thresher.compute.flops import Architecture
from thresher.models import attention
from thresher.models.fresh import fresh_model
from thresher.models.load import Opened, open_tokenizer, padding
from thresher.training.recipe import Recipe
from thresher.training.sft import with_adapters


class AtSteps(TrainerCallback):
    """Calls `read(step, network)` after each of some numbers of optimiser steps, 0 for the untrained network.

    The Trainer keeps a checkpoint at each of them, the newest only. Training ends after the last.
    """

    def __init__(self, steps: Sequence[int], read: Callable[[int, torch.nn.Module], None]) -> None:
        self.steps, self.read = frozenset(steps), read
        self.last = max(steps)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ANN401
        """The untrained network."""
        if state.global_step == 0 and 0 in self.steps:
            self.read(0, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ANN401
        """A stop, or not."""
        if state.global_step in self.steps:
            self.read(state.global_step, model)
            control.should_save = state.global_step < self.last
        if state.global_step >= self.last:
            control.should_training_stop = True


class Snapshot:
    """A training network's weights in a copy of its own that is read from, in the precision of reading."""

    def __init__(self, model: str, recipe: Recipe, *, device: str, dtype: str) -> None:
        with torch.random.fork_rng():  # adapters are drawn: the training's own draws must not move
            copy: Any = fresh_model(model, dtype=dtype)
            copy = with_adapters(copy, recipe) if recipe.lora is not None else copy
        self.copy = copy.to(device).to(getattr(torch, dtype)).eval().requires_grad_(False)
        inner = copy.get_base_model() if hasattr(copy, "get_base_model") else copy
        tokenizer = open_tokenizer(model)
        self.opened = Opened(
            inner, tokenizer, model, device, dtype, attention.choose(inner, device, dtype), *padding(tokenizer),
            Architecture.of(inner.config),
        )  # fmt: skip

    def of(self, network: Any) -> Opened:  # noqa: ANN401
        """The copy, with the network's weights as they are now."""
        self.copy.load_state_dict(getattr(network, "module", network).state_dict())
        return self.opened
