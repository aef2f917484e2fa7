"""One forward and one backward pass of a batch of rows, with logits and their gradient at answer positions only.

Cross-entropy's gradient with respect to logits is written down, softmax minus the label's one, so nothing as large as
the vocabulary is ever recorded: a slice of logits and its gradient exist, are turned into the gradient of the hidden
states, and go. Rows are filled up on the right: nothing that counts can look there, and what is there gets a gradient
of exactly zero, so no mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from thresher.compute import flops, meter
from thresher.compute.flops import Architecture
from thresher.data.chat import Encoded
from thresher.models import batching
from thresher.models.captured import Named, Sink, Whole, capture, layers, still
from thresher.models.head import head_of
from thresher.models.loss import predicted

HEAD_SLICE = 512  # positions whose logits exist at once


class Pass:
    """A network and which of its parameters' gradients are asked for.

    Attributes:
        p: how many numbers they have together.
        layers: the linear layers that own them.
    """

    def __init__(self, network: Any, chosen: Named, pad: int) -> None:
        self.network, self.pad = network, pad
        self.p = sum(parameter.numel() for _, parameter in chosen)
        self.layers = layers(network, chosen)
        self.inner = network.get_base_model() if hasattr(network, "get_base_model") else network
        with still(network):  # it compares two forward passes, which dropout would make different
            self.head = head_of(self.inner)
        self.arch = Architecture.of(self.inner.config)
        adapters = sum(parameter.numel() for name, parameter in chosen if "lora_" in name)
        self.per_token = 6.0 * adapters + 2.0 * (self.p - adapters)  # FLOPs beside those of the base

    def run(self, encoded: Encoded, rows: Int[np.ndarray, " b"], sink: Sink) -> None:
        """One forward and one backward pass of the rows; each layer's part goes to the sink on the way back."""
        filled = batching.padded(encoded.ids, encoded.starts, rows, self.pad)
        ids = torch.from_numpy(filled).to(self.inner.device)  # (b, s)
        with still(self.network), capture(self.layers, len(rows), sink), torch.enable_grad():
            hidden = self.inner.base_model(input_ids=ids, use_cache=False).last_hidden_state  # (b, s, width)
            back, answers = through_the_head(self.head, hidden.detach(), ids, encoded, rows)
            hidden.backward(back)
        if isinstance(sink, Whole):
            sink.finish(self.layers)
        (b, s), forward = ids.shape, flops.forward
        square = forward(self.arch, 0, b * s * s, 0)
        counted = 2 * forward(self.arch, b * s, b * s * s, answers) + square + self.per_token * b * s
        meter.count(flops=counted, tokens=b * s)


def through_the_head(
    head: Callable[[torch.Tensor], torch.Tensor], hidden: torch.Tensor, ids: torch.Tensor, encoded: Encoded,
    rows: Int[np.ndarray, " b"],
) -> tuple[torch.Tensor, int]:  # fmt: skip
    """The gradient (b, s, width) of the hidden states, and how many positions had logits.

    Of cross-entropy with respect to logits it is softmax minus the label's one, over the row's answer tokens.
    """
    back = torch.zeros_like(hidden)
    owner, place = predicted(encoded, rows)
    each_weight = 1.0 / np.maximum(np.bincount(owner, minlength=len(rows)), 1)
    at_row, at = (torch.from_numpy(index).to(ids.device) for index in (owner, place))
    weight = torch.from_numpy(each_weight.astype(np.float32)).to(ids.device)
    for r, u in zip(at_row.split(HEAD_SLICE), at.split(HEAD_SLICE), strict=True):
        some = hidden[r, u - 1].requires_grad_(True)
        logits = head(some)
        error = torch.softmax(logits.detach(), -1, dtype=torch.float32)  # (m, V)
        error[torch.arange(len(u), device=u.device), ids[r, u]] -= 1.0
        error *= weight[r, None]
        (back[r, u - 1],) = torch.autograd.grad(logits, some, error.to(logits.dtype))
    return back, len(owner)
