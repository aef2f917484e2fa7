"""Training of a scorer before it reads the pool: on the target (CCDS), or on the pool (random starts, cut models)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from thresher.core.cost import Load
from thresher.core.pool import Pool
from thresher.errors import ModelError, PoolError
from thresher.models import load
from thresher.training.recipe import Lora, Recipe, cut_into_steps, step_flops


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a scorer is trained on first, and how.

    `on = "auto"` means the pool for models that start at random (`scratch:`, `cut:`), whose losses mean nothing
    before, and nothing for all others. The card names what it came to.
    """

    on: Annotated[Literal["auto", "none", "target", "pool"], "rows the scorer is trained on first"] = "auto"
    rows: Annotated[int, "at most so many rows of the pool, drawn uniformly"] = 4000
    epochs: Annotated[float, "passes over them"] = 1.0
    steps: Annotated[int | None, "at most so many optimiser steps"] = None
    until: Annotated[float, "end when an epoch's loss drop is below this share of the first's; 0 never"] = 0.0
    learning_rate: float = 2e-3
    batch_size: int = 16
    lora: Annotated[int, "rank of adapters; 0 is full training"] = 0
    max_tokens: int = 512
    seed: int = 0

    def resolved(self, model: str) -> str:
        """none, target or pool."""
        if self.on != "auto":
            return self.on
        return "pool" if load.about(model).get("random_start") else "none"

    def settled(self, model: str) -> Tuning:
        """The same with "auto" resolved."""
        return replace(self, on=self.resolved(model))

    def recipe(self) -> Recipe:
        """As the trainer takes it, for the epochs asked for."""
        adapters = Lora(r=self.lora, alpha=4 * self.lora) if self.lora else None
        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            micro_batch=max(1, self.batch_size // 4),  # rows of like length go together: half the padding
            learning_rate=self.learning_rate,
            max_tokens=self.max_tokens,
            lora=adapters,
        )

    def flops(self, model: str, sizes: Load) -> float:
        """The price: real tokens of the target, or the pool's mean row times the rows drawn."""
        settled = self.settled(model)
        if settled.on == "none":
            return 0.0
        if settled.on == "target":
            return settled.price(model, sizes.q, sizes.target_tokens, sizes.target_square)
        return settled.price(model, sizes.n, sizes.tokens, sizes.square)

    def price(self, model: str, n: int, tokens: int | float, square: float) -> float:
        """Of training on n rows of so many tokens, or on the mean rows among them that are drawn."""
        rows = n if self.on == "target" else min(n, self.rows)
        share = rows / max(n, 1)
        epoch = step_flops(self.recipe(), load.architecture(model), tokens * share, square * share)
        return epoch * self.passes(rows)

    def passes(self, rows: int) -> float:
        """Over the rows drawn: the epochs, or what so many steps come to where that is less."""
        if self.steps is None:
            return self.epochs
        return min(self.epochs, self.steps * self.batch_size / max(rows, 1))

    def limited(self, rows: int) -> Recipe:
        """The recipe for so many rows: the epochs or the steps, whichever is less."""
        recipe = self.recipe()
        if self.steps is None or cut_into_steps(recipe, rows)[2] <= self.steps:
            return recipe
        return recipe.with_steps(self.steps)

    def apply(self, model: str, pool: Pool, target: Pool | None, folder: Path) -> str:
        """The path of the scorer that reads the pool; trained once, kept in `folder`.

        Raises:
            PoolError: it is to be tuned on a target and there is none.
            ModelError: a random start with `on = "none"`, whose losses would be noise.
        """
        on = self.resolved(model)
        if on == "none":
            if load.about(model).get("random_start"):
                raise ModelError(
                    f"{model} starts at random: its losses say nothing untrained. Leave tuning.on at auto or pool."
                )
            return model
        if on == "target" and target is None:
            raise PoolError("this scorer is tuned on the target, and there is none. Name one with --target.")
        from thresher.training.loss_drop import LossDrop
        from thresher.training.sft import train  # loads the Trainer

        if on == "target" and target is not None:
            rows = self._drawn(target, len(target))
        else:
            rows = self._drawn(pool, self.rows)
        stop = LossDrop(self.until) if self.until else None
        train(
            model, [(rows, self.limited(len(rows)))], seed=self.seed, out=folder,
            callbacks=[stop] if stop else [], watch=stop.watch if stop else None,
        )  # fmt: skip
        return str(folder)

    def trained_ids(self, rows: Pool) -> list[str]:
        """The rows of a pool, or of a target, that are drawn."""
        return self._drawn(rows, len(rows) if self.on == "target" else self.rows).ids()

    def _drawn(self, rows: Pool, most: int) -> Pool:
        """Rows in an order drawn by their ids: another order of the file draws and trains the same."""
        salt = f"{self.seed}/signals/tuning/"
        sign = [hashlib.blake2b((salt + name).encode(), digest_size=8).digest() for name in rows.ids()]
        return rows.take(np.argsort(np.array(sign, dtype="S8"), kind="stable")[:most])
