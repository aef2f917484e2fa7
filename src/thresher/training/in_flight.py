"""Each row's own loss as it is trained on, from the logits that training computes anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int

Tell = Callable[[int, Int[np.ndarray, " b"], Float[np.ndarray, "b k"]], None]


class Watch:
    """Stands in for the loss function of a training and passes on what it sees of each row.

    The loss that is trained on is the usual one: nats summed over the trained tokens of a step, over their number.
    """

    def __init__(self, tell: Tell) -> None:
        """`tell` gets: optimiser steps taken before, rows of the training set, (b, 3) means over trained tokens."""
        self.tell = tell
        self._means = np.zeros((0, 3))

    def batch(self, step: int, rows: Int[np.ndarray, " b"]) -> None:
        """A batch is done, both ways: its rows, and the optimiser steps before it."""
        self.tell(step, rows, self._means)

    def loss(self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None) -> Any:  # noqa: ANN401
        """The scalar that is trained on, as the Trainer asks for it."""
        after = labels[:, 1:]  # (b, s - 1): what each position predicts
        where = after != -100
        logits, wanted = outputs.logits[:, :-1][where].float(), after[where]  # (m, V), (m,)
        nll = F.cross_entropy(logits, wanted, reduction="none")
        self._keep(logits.detach(), wanted, nll.detach(), where)
        return nll.sum() / (len(nll) if num_items_in_batch is None else num_items_in_batch)

    def _keep(self, logits: torch.Tensor, wanted: torch.Tensor, nll: torch.Tensor, where: torch.Tensor) -> None:
        best = logits.amax(-1) - logits.gather(-1, wanted[:, None])[:, 0]
        numbers = torch.stack([nll, (-nll).exp(), (best - nll).exp()], -1).double().cpu()  # (m, 3)
        owner = where.nonzero()[:, 0].cpu()
        counts = where.sum(1).cpu().double()
        sums = torch.zeros(len(where), 3, dtype=torch.float64).index_add_(0, owner, numbers)
        self._means = (sums / counts[:, None]).numpy()
