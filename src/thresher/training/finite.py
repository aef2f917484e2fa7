"""A training that diverges ends with a sentence, not with a model."""

from __future__ import annotations

import torch

from thresher.errors import NonFinite
from thresher.training.recipe import Recipe

EVERY = 16  # optimiser steps between looks: on a GPU each look waits for it


class Finite:
    """Looks at the losses of a training now and then, and at its weights at the end."""

    def __init__(self, recipe: Recipe, *, bfloat16: bool) -> None:
        """`bfloat16`: whether it is computed with."""
        self.recipe, self.bfloat16 = recipe, bfloat16
        self._sum: torch.Tensor | float = 0.0  # not finite from the first loss on that is not
        self._looked = 0

    def loss(self, loss: torch.Tensor, step: int) -> None:
        """One micro-batch's.

        Raises:
            NonFinite: a loss is NaN or infinite.
        """
        self._sum = self._sum + loss.detach()
        if step >= self._looked + EVERY:
            self._looked = step
            self._look(step)

    def end(self, network: torch.nn.Module, steps: int) -> None:
        """After the last step.

        Raises:
            NonFinite: a loss was NaN or infinite, or a trained weight is.
        """
        self._look(steps)
        if not all(bool(weight.isfinite().all()) for weight in network.parameters() if weight.requires_grad):
            self._refuse(steps, "weights are")

    def _look(self, step: int) -> None:
        if isinstance(self._sum, torch.Tensor) and not bool(self._sum.isfinite()):
            self._refuse(step, "loss is")

    def _refuse(self, step: int, whose: str) -> None:
        raise NonFinite(
            f"the training diverged: after {step} steps its {whose} not finite. In the recipe (learning_rate "
            f"{self.recipe.learning_rate:g}) lower learning_rate or raise warmup"
            f"{', or set precision: float32' if self.bfloat16 else ''}. No model was written."
        )
