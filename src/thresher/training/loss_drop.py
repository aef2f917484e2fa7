"""Ends a training when the loss has stopped falling as fast as in the beginning."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from transformers import TrainerCallback

from thresher.training.in_flight import Watch


class LossDrop(TrainerCallback):
    """Ends after the first epoch whose loss drop is below a share of the first epoch's.

    An epoch's drop is its mean loss less the next epoch's, from the losses training computes anyway.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.watch = Watch(self._seen)
        self.means: list[float] = []
        self._sum, self._rows = 0.0, 0

    def _seen(self, step: int, rows: Int[np.ndarray, " b"], values: Float[np.ndarray, "b 3"]) -> None:
        self._sum += float(values[:, 0].sum())
        self._rows += len(rows)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Go on, or not."""
        self.means.append(self._sum / max(self._rows, 1))
        self._sum, self._rows = 0.0, 0
        if len(self.means) > 2 and self.means[-2] - self.means[-1] < self.share * (self.means[0] - self.means[1]):
            control.should_training_stop = True
