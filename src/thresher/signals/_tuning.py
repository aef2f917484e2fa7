"""Training of a scorer before it reads the pool: on the target (CCDS), or on the pool (random starts, cut models)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from thresher.core.cost import Load
from thresher.core.pool import Pool
from thresher.errors import ModelError, PoolError
from thresher.models import load
from thresher.training.recipe import Lora, Recipe, step_flops


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a scorer is trained on first, and how.

    `on = "auto"` means the pool for models that start at random (`scratch:`, `cut:`), whose losses mean nothing
    before, and nothing for all others. The card names what it came to.
    """

    on: Annotated[Literal["auto", "none", "target", "pool"], "rows the scorer is trained on first"] = "auto"
    rows: Annotated[int, "at most so many rows of the pool, drawn uniformly"] = 4000
    epochs: Annotated[float, "passes over them"] = 1.0
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

    def recipe(self) -> Recipe:
        """As the trainer takes it."""
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
        on = self.resolved(model)
        if on == "none":
            return 0.0
        share = 1.0 if on == "target" else min(1.0, self.rows / max(sizes.n, 1))
        tokens = sizes.target_tokens if on == "target" else sizes.tokens * share
        square = sizes.target_square if on == "target" else sizes.square * share
        return self.epochs * step_flops(self.recipe(), load.architecture(model), tokens, square)

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
        from thresher.training.sft import train  # loads the Trainer

        if on == "target" and target is not None:
            rows = self._drawn(target, len(target))
        else:
            rows = self._drawn(pool, self.rows)
        train(model, [(rows, self.recipe())], seed=self.seed, out=folder)
        return str(folder)

    def _drawn(self, rows: Pool, most: int) -> Pool:
        """Rows in an order drawn by their ids: another order of the file draws and trains the same."""
        salt = f"{self.seed}/signals/tuning/"
        sign = [hashlib.blake2b((salt + name).encode(), digest_size=8).digest() for name in rows.ids()]
        return rows.take(np.argsort(np.array(sign, dtype="S8"), kind="stable")[:most])
