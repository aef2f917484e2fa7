"""How much memory per-row gradients take, before any are computed: measured on a few tokens, then scaled.

What the backward pass needs is asked of autograd itself, on two short batches: it grows with the tokens, and where
attention keeps its square, with their square. So no family needs a formula of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from thresher.models.backward import HEAD_SLICE
from thresher.models.captured import Layer, capture, still

SHORT = (8, 24)  # tokens of the two rows that are looked at
# Resident bytes for each byte that autograd keeps: glibc holds on to freed blocks of other sizes. Measured 1.9 to 2.0
# from 0.4 GB on (benchmarks/gradients.py --only memory); mapping every block instead (1.05) cost half again the time.
RESIDENT = {"cpu": 2.0}


@dataclass(frozen=True)
class Footprint:
    """Bytes.

    Attributes:
        weights: of the model, buffers included.
        per_token: resident for the backward pass, for each token of a batch.
        per_square: the same for each squared length.
        head: of one slice of logits, their softmax and what turns one into the other.
    """

    weights: int
    per_token: float
    per_square: float
    head: int

    def row(self, s: int) -> int:
        """Activations of one row of s tokens (padding included)."""
        return round(self.per_token * s + self.per_square * s * s)

    @classmethod
    def of(cls, network: Any, chosen: Sequence[Layer]) -> Footprint:
        """Look at a network."""
        inner = network.get_base_model() if hasattr(network, "get_base_model") else network
        resident = RESIDENT.get(inner.device.type, 1.0)
        short, long = (resident * _kept(network, inner, list(chosen), s) for s in SHORT)
        a, b = SHORT
        square = max(0.0, (long / b - short / a) / (b - a))
        weights = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _held(network)}
        vocabulary = inner.get_output_embeddings().weight.shape[0]
        number = inner.dtype.itemsize
        return cls(sum(weights.values()), short / a - square * a, square, HEAD_SLICE * vocabulary * (4 + 2 * number))


class _Nothing:
    """A sink for a pass that never comes back."""

    def weight(self, offset: int, left: torch.Tensor, right: torch.Tensor) -> None: ...

    def bias(self, offset: int, e: torch.Tensor) -> None: ...


def _held(network: torch.nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]


def _kept(network: Any, inner: Any, chosen: list[Layer], s: int) -> int:
    """Bytes of every tensor that is kept for the backward pass of one row of s tokens."""
    weights = {t.untyped_storage().data_ptr() for t in _held(network)}
    kept: dict[int, int] = {}
    alive = []  # so that no address is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    def keep_read(module: torch.nn.Module, read: tuple[Any, ...]) -> None:
        keep(read[0])

    handles = [layer.module.register_forward_pre_hook(keep_read) for layer in chosen]
    ids = torch.zeros(1, s, dtype=torch.int64, device=inner.device)
    try:
        with (
            still(network), capture(chosen, 1, _Nothing()), torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):  # fmt: skip
            last = inner.base_model(input_ids=ids, use_cache=False).last_hidden_state
            keep(last)
    finally:
        for handle in handles:
            handle.remove()
    return sum(kept.values())
