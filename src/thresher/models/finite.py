"""A model whose predictions are no numbers is not scored: nothing it is asked would tell that from a poor one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Num

from thresher.errors import NonFinite

WHY = "Its training diverged (train it again with a lower learning_rate), or its weights are damaged."


def check_logits(logits: torch.Tensor) -> None:
    """(b, V) of the next token; minus infinity is a token that never comes.

    Raises:
        NonFinite: one is NaN.
    """
    if bool(logits.isnan().any()):
        raise NonFinite(f"the model's predictions are not numbers (NaN). {WHY}")


def check_losses(task: str, ids: Sequence[str], losses: Num[np.ndarray, " n"]) -> None:
    """What a task's rows came to, beside their names.

    Raises:
        NonFinite: one is NaN or infinite.
    """
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        first = list(dict.fromkeys(ids[i] for i in bad[:5]))
        raise NonFinite(
            f"task {task}: the model's loss is not finite in {bad.size} of {len(losses)} answers, first ids {first}. "
            f"{WHY}"
        )
