"""The training of a scorer before it reads: done once, shared by every signal that reads with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.core.store import write_bytes
from thresher.models import load
from thresher.signals._reading import Reading
from thresher.signals._tuned import Tuned
from thresher.signals._tuning import Tuning

PLACE, ROWS = "scorer", "rows.json"  # in the signal's own folder


@dataclass(frozen=True, kw_only=True)
class TunedModel(Reading):
    """1 for the rows a scorer was trained on, 0 for the others; the scorer is in the signal's own folder.

    It is measured over what it is trained on: the pool, or the target, which then serves any number of pools.

    Source:  the scorer of Yin & Rush 2025, arXiv:2410.16208; random starts are ours.
    Differs: one training for all signals that ask for the same.
    Cost:    E T(N_s, rows drawn).
    """

    tuning: Annotated[Tuning, "of the scorer"] = Tuning(on="pool")

    kind: ClassVar[Kind] = "label"
    work: ClassVar[str] = "train"

    def cost(self, load: Load) -> Cost:
        """Of the rows drawn, by the mean row."""
        return Cost(flops=self.tuning.price(self.model, load.n, load.tokens, load.square))

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> str:
        """The path of the trained scorer."""
        write_bytes(folder / ROWS, json.dumps(self.tuning.trained_ids(pool)).encode())
        return self.tuning.apply(self.model, pool, pool if self.tuning.on == "target" else None, folder / PLACE)

    def account(self, state: str) -> dict[str, Any]:
        """What it was trained on."""
        return {"tuned_on": self.tuning.on, "about": load.about(self.model)}

    def measure(self, state: str, rows: Pool) -> Int[np.ndarray, " b"]:
        """(b,) whether a row was drawn."""
        drawn = json.loads((Path(state).parent / ROWS).read_bytes())
        return np.isin(rows.ids(), drawn).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class TunedReader(Tuned):
    """A signal that reads with a scorer whose training, if it has one, is a measurement of its own."""

    @property
    def inner_over(self) -> str:  # type: ignore[override]
        """What the scorer is trained on."""
        return "target" if self.tuning.resolved(self.model) == "target" else "pool"

    def inner(self) -> TunedModel | None:
        """The scorer's training; None where it reads as it is."""
        tuning = self.tuning.settled(self.model)
        if tuning.on == "none":
            return None
        return TunedModel(model=self.model, max_tokens=tuning.max_tokens, tuning=tuning)

    def measure_over(self, state: str, rows: Pool, values: np.ndarray) -> np.ndarray:
        """Reading the rows; what the scorer was trained on does not matter to it."""
        return self.measure(state, rows)
