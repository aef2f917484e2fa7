"""Each row's gradient of its mean answer loss, many rows at a time, equal to what a batch of one gives.

    loss of a batch = sum over rows of  -(1/a_i) sum_{u in answer} log p(x_u | x_<u)

The rows do not see one another, so the gradient of that sum with respect to a layer's outputs belongs to each row
alone; `captured` turns it into gradients of the layer's weights, `backward` runs the batch, `footprint` knows what it
takes of memory.
Source: METHODS.md 1.6.1; LESS, Xia et al. 2024 arXiv:2402.04333 (there one row at a time).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from thresher.data.chat import Encoded
from thresher.errors import ModelError, NonFinite
from thresher.models import batching
from thresher.models.backward import Pass
from thresher.models.captured import Layer, Whole, layers
from thresher.models.footprint import Footprint
from thresher.models.projection import Projection

TOKEN_BUDGET = 2048  # padded tokens a batch
Match = str | Sequence[str]


def trainable(network: torch.nn.Module, match: Match = "lora_") -> list[tuple[str, torch.nn.Parameter]]:
    """The parameters whose names contain `match` (any of several), in the network's own order.

    Raises:
        ModelError: there is none.
    """
    wanted = [match] if isinstance(match, str) else list(match)
    found = [(name, p) for name, p in network.named_parameters() if any(part in name for part in wanted)]
    if not found:
        names = [name for name, _ in network.named_parameters()]
        adapters = sum("lora_" in name for name in names)
        hint = f"{adapters} of them adapters ('lora_')" if adapters else "none an adapter: train some, or name layers"
        raise ModelError(
            f"no parameter's name contains {' or '.join(map(repr, wanted))}. The model has {len(names)} parameters, "
            f"{hint}; for example {', '.join(names[:: max(1, len(names) // 4)][:4])}."
        )
    return found


def parameters(network: torch.nn.Module, match: Match = "lora_") -> int:
    """p: how many numbers a row's gradient has."""
    return sum(parameter.numel() for _, parameter in trainable(network, match))


def per_example(
    network: Any, tokenizer_pad: int, encoded: Encoded, rows: Sequence[int] | Int[np.ndarray, " b"] | slice, *,
    match: Match = "lora_",
) -> Float[torch.Tensor, "b p"]:  # fmt: skip
    """Gradients of these rows' mean answer losses, as one batch.

    Args:
        network: a causal language model of transformers, with or without peft's adapters. Dropout is off.
        tokenizer_pad: any token; it stands where nothing is read.
        encoded: the pool's tokens.
        rows: which of them, in which order.
        match: which parameters, see `trainable`; their numbers follow one another in its order.

    Returns:
        float32, on the network's device. A row without an answer token has the gradient zero, see `silent`.

    Raises:
        NonFinite: a row's gradient is not a number, with the rows.
        ModelError: nothing matches, or not a linear layer.
    """
    rows = np.arange(len(encoded))[rows] if isinstance(rows, slice) else np.asarray(rows, np.int64)
    pass_ = Pass(network, trainable(network, match), tokenizer_pad)
    whole = torch.empty(len(rows), pass_.p, device=network.device)
    pass_.run(encoded, rows, Whole(whole))
    return _finite(whole, rows)


def silent(gradients: Float[torch.Tensor, "b d"]) -> Bool[np.ndarray, " b"]:
    """Rows whose gradient (or projection of it) is zero: they cannot be normalised, the caller lists them."""
    return (torch.linalg.vector_norm(gradients, dim=1) == 0).cpu().numpy()


def batches(
    encoded: Encoded, *, token_budget: int = TOKEN_BUDGET, memory_bytes: int | None = None, p: int,
    footprint: Footprint | None = None,
) -> Iterator[Int[np.ndarray, " b"]]:  # fmt: skip
    """Rows with an answer, in length order, as many at a time as fit.

    Args:
        encoded: the pool's tokens.
        token_budget: padded tokens a batch.
        memory_bytes: for all of a batch: its rows' gradients, 4 b p, and with a footprint its activations too.
        p: numbers of one gradient.
        footprint: what activations take.

    Raises:
        ModelError: not even one row fits.
    """
    lengths, read = encoded.lengths(), np.flatnonzero(encoded.answer_tokens())
    longest = int(lengths[read].max(initial=0))
    most, room = len(read), 0  # rows whose gradients there is memory for, and bytes beside them
    if memory_bytes is not None and len(read):
        most, room = _shared_out(memory_bytes, longest, p, footprint)
    for some in batching.batches(lengths[read], token_budget):
        rows = read[some]
        at_once = most
        if memory_bytes is not None and footprint is not None:
            at_once = min(most, room // max(1, footprint.row(int(lengths[rows].max()))))
        for start in range(0, len(rows), at_once):
            yield rows[start : start + at_once]


def _shared_out(memory_bytes: int, longest: int, p: int, footprint: Footprint | None) -> tuple[int, int]:
    """Gradients get half of what there is, or what the longest row leaves them; all batches use the same memory.

    Raises:
        ModelError: there is none for a single row.
    """
    free = memory_bytes - (footprint.head if footprint is not None else 0)
    one = footprint.row(longest) if footprint is not None else 0
    if free < one + 4 * p:
        raise ModelError(
            f"the gradient of one row of {longest} tokens needs {(memory_bytes - free + one + 4 * p) / 2**20:,.0f} MiB "
            f"({p:,} parameters), allowed are {memory_bytes / 2**20:,.0f}. Allow more, shorten the rows (max_tokens), "
            "or adapt fewer layers at a lower rank."
        )
    most = max(1, min(free // (8 * p) if footprint is not None else free // (4 * p), (free - one) // (4 * p)))
    return most, free - 4 * p * most


def each(
    network: Any, encoded: Encoded, *, match: Match = "lora_", token_budget: int = TOKEN_BUDGET,
    memory_bytes: int | None = None, pad: int = 0,
) -> Iterator[tuple[Int[np.ndarray, " b"], Float[torch.Tensor, "b p"]]]:  # fmt: skip
    """Every row's gradient, batch after batch, under a limit of memory; arguments as of `per_example` and `batches`.

    The tensor is the same memory every time: it holds until the next one is asked for. Rows without an answer token
    do not come.

    Raises:
        NonFinite: a row's gradient is not a number, with the rows.
        ModelError: nothing matches, not a linear layer, or no room for a single row.
    """
    pass_ = Pass(network, trainable(network, match), pad)
    parts = _parts(network, encoded, match, token_budget, memory_bytes, pass_.p)
    kept = torch.empty(max(map(len, parts), default=0), pass_.p, device=network.device)
    for rows in parts:
        whole = kept[: len(rows)]
        pass_.run(encoded, rows, Whole(whole))
        yield rows, _finite(whole, rows)


def each_projected(
    network: Any, encoded: Encoded, projection: Projection, *, match: Match = "lora_",
    token_budget: int = TOKEN_BUDGET, memory_bytes: int | None = None, pad: int = 0,
) -> Iterator[tuple[Int[np.ndarray, " b"], Float[torch.Tensor, "b d"]]]:  # fmt: skip
    """The same, projected one layer at a time while the backward pass goes on: no row's gradient is ever whole.

    Raises:
        NonFinite: a row's gradient is not a number, with the rows.
        ModelError: nothing matches, not a linear layer, no room for a row, or a projection of another size.
    """
    pass_ = Pass(network, trainable(network, match), pad)
    if projection.p != pass_.p:
        raise ModelError(f"the projection is of {projection.p:,} numbers, a gradient here has {pass_.p:,}.")
    largest = max(parameter.numel() for _, parameter in trainable(network, match))
    for rows in _parts(network, encoded, match, token_budget, memory_bytes, largest + projection.d):
        out = torch.zeros(len(rows), projection.d, device=network.device)
        pass_.run(encoded, rows, _Projected(projection, out))
        yield rows, _finite(out, rows)


def memory_estimate(
    network: Any, encoded: Encoded, *, match: Match = "lora_", token_budget: int = TOKEN_BUDGET,
    memory_bytes: int | None = None, projection: Projection | None = None, moments: bool = False, held: int = 0,
) -> int:  # fmt: skip
    """Bytes that a pass over these rows takes at its highest, the weights included.

        weights + activations of the largest batch + one slice of logits + 4 b p + 8 p (moments) + 4 b d + held

    Args:
        network: as of `each`, which the other arguments are given to as well.
        encoded: the pool's tokens.
        match: as above.
        token_budget: as above.
        memory_bytes: as above.
        projection: what each batch is projected with afterwards.
        moments: whether the optimiser's two moments are in memory too.
        held: bytes of whatever else stays, target features say.
    """
    p = parameters(network, match)
    footprint = Footprint.of(network, match_layers(network, match))
    lengths, d = encoded.lengths(), projection.d if projection is not None else 0
    highest = most = 0
    for rows in _parts(network, encoded, match, token_budget, memory_bytes, p):
        most = max(most, len(rows))
        highest = max(highest, len(rows) * (footprint.row(int(lengths[rows].max())) + 4 * d))
    return footprint.weights + highest + footprint.head + 4 * p * most + (8 * p if moments else 0) + held


def match_layers(network: torch.nn.Module, match: Match) -> list[Layer]:
    """The linear layers that own the matching parameters."""
    return layers(network, trainable(network, match))


def _parts(
    network: Any, encoded: Encoded, match: Match, token_budget: int, memory_bytes: int | None, p: int
) -> list[Int[np.ndarray, " b"]]:
    footprint = None if memory_bytes is None else Footprint.of(network, match_layers(network, match))
    return list(batches(encoded, token_budget=token_budget, memory_bytes=memory_bytes, p=p, footprint=footprint))


def _finite(found: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    bad = ~torch.isfinite(torch.linalg.vector_norm(found, dim=1)).cpu().numpy()
    if bad.any():
        numbers = ", ".join(map(str, rows[bad][:5]))
        raise NonFinite(
            f"gradients of {int(bad.sum())} of {len(rows)} rows are not numbers, first rows {numbers}. Look at the "
            "rows' texts, or read in float32."
        )
    return found


class _Projected:
    """Adds each layer's part to the projection; only one layer's gradients exist at a time."""

    def __init__(self, projection: Projection, out: torch.Tensor) -> None:
        self.projection, self.out = projection, out

    def weight(self, offset: int, left: torch.Tensor, right: torch.Tensor) -> None:
        self.projection.add_product(self.out, left, right, offset)

    def bias(self, offset: int, e: torch.Tensor) -> None:
        self.projection.add(self.out, e.sum(1, dtype=torch.float32), offset)
