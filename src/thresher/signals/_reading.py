"""What every signal that reads rows with a language model shares: sizes, and which rows it can read at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from thresher.core.cost import Load
from thresher.core.method import Signal, name_of
from thresher.core.pool import Pool
from thresher.errors import ModelError
from thresher.models import load


@dataclass(frozen=True, kw_only=True)
class Reading(Signal):
    """A signal with a model and a window."""

    model: Annotated[str, "model that reads the pool; a small one is usual"]
    max_tokens: Annotated[int, "rows are cut on the right to this length"] = 2048

    def __post_init__(self) -> None:
        """There must be a model.

        Raises:
            ModelError: none was named.
        """
        if not self.model:
            raise ModelError(f"{name_of(self)} reads the pool with a model. Name one with --scorer or --model.")

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Real tokens of pool and target under this model's tokenizer."""
        rows = load.counted(self.model, pool, self.max_tokens)
        s, a = rows.lengths().astype(np.float64), rows.answer_tokens().astype(np.float64)
        there = load.counted(self.model, target, self.max_tokens) if target is not None else None
        near = there.lengths() if there is not None else np.zeros(0)
        return Load(
            n=len(pool),
            tokens=int(s.sum()),
            answer_tokens=int(a.sum()),
            square=float((s**2).sum()),
            answer_square=float((a**2).sum()),
            q=len(near),
            target_tokens=int(near.sum()),
            target_answer_tokens=int(there.answer_tokens().sum()) if there is not None else 0,
            target_square=float((near.astype(np.float64) ** 2).sum()),
        )

    def identity(self) -> dict[str, str]:
        """The weights, not the name they go by."""
        return {"model": load.weights_hash(self.model)}

    def account(self, state: Any) -> dict[str, Any]:
        """Device, dtype, attention and padding of the model that read, and the template it read through."""
        path = state if isinstance(state, str) else self.model
        opened = load.open_model(path, dtype=getattr(self, "dtype", "auto"))
        return {**opened.choices(), "about": load.about(self.model)}

    def truncated(self, rows: Pool) -> float:
        """Share of the rows that are longer than the window."""
        return float((load.counted(self.model, rows, self.max_tokens).cut > 0).mean())

    def usable(self, pool: Pool) -> np.ndarray:
        """(n,) rows with at least one token to predict after truncation."""
        return load.counted(self.model, pool, self.max_tokens).answer_tokens() > 0
