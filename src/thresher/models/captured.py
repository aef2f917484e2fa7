"""What a linear layer read and what came back to it: from these two, each row's gradient of its weights.

A layer's inputs a (b, s, in) and the gradients e (b, s, out) of its outputs give row i's weight gradient as
`sum_u e_iu a_iu^T`. An adapter's two halves are linear layers themselves: the first reads x and gives A x, the second
reads A x, so both come out of the same rule and the full matrix's gradient never exists. One forward and one
backward pass of a whole batch, no gradient of any parameter computed by autograd.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from transformers.pytorch_utils import Conv1D

from thresher.errors import ModelError

Named = Sequence[tuple[str, torch.nn.Parameter]]


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer some of whose parameters are asked for, and where they stand among the p numbers.

    Attributes:
        name: of the module.
        module: torch's Linear, or GPT-2's Conv1D, whose weight is stored as (in, out).
        weight: first of its numbers, or None where the weight is not asked for.
        bias: the same of the bias.
    """

    name: str
    module: torch.nn.Module
    weight: int | None
    bias: int | None

    @property
    def input_first(self) -> bool:
        """Whether the weight is (in, out)."""
        return isinstance(self.module, Conv1D)

    def sides(self, e: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The two factors in the order of the weight's axes: (b, s, rows), (b, s, columns)."""
        return (a, e) if self.input_first else (e, a)


@runtime_checkable
class Sink(Protocol):
    """Takes each layer's part as soon as the backward pass has reached it."""

    def weight(self, offset: int, left: torch.Tensor, right: torch.Tensor) -> None:
        """Factors (b, s, rows), (b, s, columns) of a weight whose first number is `offset`."""
        ...

    def bias(self, offset: int, e: torch.Tensor) -> None:
        """(b, s, out): the gradients of the outputs of a layer whose bias begins at `offset`."""
        ...


class Whole:
    """Every row's gradient, whole: fills (b, p) float32."""

    def __init__(self, rows: Float[torch.Tensor, "b p"]) -> None:
        self.rows = rows
        self.written: set[int] = set()

    def weight(self, offset: int, left: torch.Tensor, right: torch.Tensor) -> None:
        """Each row's sum over its tokens of left times right."""
        here = self.rows[:, offset : offset + left.shape[2] * right.shape[2]]
        here = here.view(len(here), left.shape[2], right.shape[2])
        if offset in self.written:
            here += torch.bmm(left.transpose(1, 2), right)
        elif left.dtype == torch.float32:
            torch.bmm(left.transpose(1, 2), right, out=here)
        else:
            here.copy_(torch.bmm(left.transpose(1, 2), right))
        self.written.add(offset)

    def bias(self, offset: int, e: torch.Tensor) -> None:
        """Each row's sum over its tokens."""
        here = self.rows[:, offset : offset + e.shape[2]]
        total = e.sum(1, dtype=torch.float32)
        here.copy_(here + total if offset in self.written else total)
        self.written.add(offset)

    def finish(self, chosen: Sequence[Layer]) -> None:
        """Zero where the backward pass never came."""
        for layer in chosen:
            for kind, offset in (("weight", layer.weight), ("bias", layer.bias)):
                if offset is not None and offset not in self.written:
                    self.rows[:, offset : offset + getattr(layer.module, kind).numel()] = 0.0


def layers(network: torch.nn.Module, chosen: Named) -> list[Layer]:
    """The linear layers that own the chosen parameters, with the place of each in the order of `chosen`.

    Raises:
        ModelError: a chosen parameter belongs to something else (a norm, an embedding, a whole stack of experts).
    """
    start = _starts(chosen)
    found, covered = [], set()
    for name, module in network.named_modules():
        own = {kind: start[id(p)] for kind, p in module.named_parameters(recurse=False) if id(p) in start}
        if not own:
            continue
        if not isinstance(module, torch.nn.Linear | Conv1D):
            what = ", ".join(f"{name}.{kind}" for kind in own)
            raise ModelError(
                f"per-row gradients exist for the weights and biases of linear layers; {what} belongs to a "
                f"{type(module).__name__}. Choose other parameters: adapters (match 'lora_') or linear layers by name."
            )
        found.append(Layer(name, module, own.get("weight"), own.get("bias")))
        covered |= set(own.values())
    missing = [name for name, p in chosen if start[id(p)] not in covered]
    assert not missing, f"parameters of no module: {missing[:3]}"
    return found


def _starts(chosen: Named) -> dict[int, int]:
    at, start = 0, {}
    for _, parameter in chosen:
        start[id(parameter)] = at
        at += parameter.numel()
    return start


@contextmanager
def capture(chosen: list[Layer], b: int, sink: Sink) -> Iterator[None]:
    """Inside, a forward and a backward pass of b rows hand every layer's part to the sink.

    Raises:
        ModelError: a layer was not run, or read something else than (b, s, in).
    """
    inputs: dict[tuple[int, int], torch.Tensor] = {}
    calls = [0] * len(chosen)

    def came_back(key: tuple[int, int], e: torch.Tensor) -> None:
        layer, a = chosen[key[0]], inputs.pop(key)
        if layer.weight is not None:
            sink.weight(layer.weight, *layer.sides(e, a))
        if layer.bias is not None:
            sink.bias(layer.bias, e)

    def went_in(at: int, module: torch.nn.Module, read: tuple[Any, ...], given: torch.Tensor) -> None:
        a = read[0].detach()
        if a.ndim != 3 or a.shape[0] != b:
            raise ModelError(
                f"{chosen[at].name} read {tuple(a.shape)}, not ({b}, tokens, width): which numbers belong to which row "
                "cannot be told there. Leave that layer out of `match`."
            )
        key = (at, calls[at])
        calls[at] += 1
        inputs[key] = a
        if not given.requires_grad:  # nothing before it is asked for: the graph begins here
            given.requires_grad_(True)
            given.register_post_accumulate_grad_hook(_drop)
        given.register_hook(partial(came_back, key))

    handles = [layer.module.register_forward_hook(partial(went_in, at)) for at, layer in enumerate(chosen)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    idle = [layer.name for layer, times in zip(chosen, calls, strict=True) if times == 0]
    if idle:
        raise ModelError(
            f"{len(idle)} chosen layers were not run, first {idle[0]}: the model uses their parameters in another way "
            "(DoRA, an adapter that is not active), or not at all. Choose others."
        )


def _drop(leaf: torch.Tensor) -> None:
    leaf.grad = None


@contextmanager
def still(network: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode, no parameter asking for a gradient; both as before at the end."""
    training = [module for module in network.modules() if module.training]
    asking = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.eval()
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in asking:
            parameter.requires_grad_(True)
