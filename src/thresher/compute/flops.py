"""Floating-point operations, in closed form. One multiply-add is two FLOPs.

    forward        2 N D + 4 L w sum s^2   every matrix once a token, and attention's full square
    train          3 forward               gradients of weights and of activations cost a forward each
    checkpointed   4 forward, nearly       the layers once more, less what need not be computed again

D tokens, L layers, w = heads times head size, N = `Architecture.multiplying`; a sliding window is priced as
the full square too, since that is what runs unless a kernel skips it. Norms, rotary positions, softmax,
embedding look-ups and the optimiser step are left out (under 1% together). `tokens` and `square` are numbers,
or (n,) vectors for a price per row; the answer has the same form.
Source: METHODS.md 0.4; Kaplan et al. 2020 arXiv:2001.08361 for 2N and 6N; Hu et al. 2021 arXiv:2106.09685 for
adapters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from thresher.compute.architecture import Architecture, Matrix
from thresher.core.suggest import unknown
from thresher.errors import ModelError, UnknownName

__all__ = [
    "Architecture", "adapted", "embed", "forward", "generate",
    "inner", "lora_params", "lora_train", "project", "train",
]  # fmt: skip

Amount = int | float | np.number | np.ndarray
Flops = Any  # a float from numbers, (n,) float64 from vectors
ProjectionKind = Literal["rademacher", "srht", "sjlt"]


def forward(arch: Architecture, tokens: Amount, square: Amount, head_tokens: Amount | None = None) -> Flops:
    """One forward pass.

    Args:
        arch: the model.
        tokens: positions, padding included where it runs.
        square: sum over rows of their length squared.
        head_tokens: positions whose logits are computed; None = all of them.
    """
    return _body(arch, tokens, square) + _head(arch, tokens, head_tokens)


def embed(arch: Architecture, tokens: Amount, square: Amount) -> Flops:
    """One forward pass without the output head."""
    return _body(arch, tokens, square)


def train(
    arch: Architecture,
    tokens: Amount,
    square: Amount,
    head_tokens: Amount | None = None,
    *,
    checkpointing: bool = False,
) -> Flops:
    """Forward and backward of full fine-tuning, the optimiser step left out."""
    body, head = _body(arch, tokens, square), _head(arch, tokens, head_tokens)
    again = body - _never_recomputed(arch, tokens) if checkpointing else 0.0
    return 3.0 * (body + head) + again


def lora_params(arch: Architecture, rank: int, targets: Iterable[str] | str) -> int:
    """Parameters of adapters of this rank on these matrices."""
    return sum(rank * (m.into + m.out) * m.layers for m in adapted(arch, targets))


def lora_train(
    arch: Architecture,
    rank: int,
    targets: Iterable[str] | str,
    tokens: Amount,
    square: Amount,
    head_tokens: Amount | None = None,
    *,
    checkpointing: bool = False,
) -> Flops:
    """Forward and backward of adapters on a frozen base.

        2 x frozen matrices + 3 x adapters + 3 x attention

    less the gradients that nothing in the first layer needs (its input is not trained).
    Differs: METHODS.md 0.4 writes 2 F + 3 F(adapter), which has attention's backward at half of what runs.
    With checkpointing transformers asks for the input's gradient too, so the first layer saves nothing there.
    """
    chosen = adapted(arch, targets)
    adapters = 2.0 * lora_params(arch, rank, targets) * _real(tokens)
    body, quadratic = 2.0 * arch.body * _real(tokens), _attention(arch, square)
    flops = 2.0 * (body + _head(arch, tokens, head_tokens)) + 3.0 * (adapters + quadratic)
    if checkpointing:
        return flops + body + quadratic + adapters - _never_recomputed(arch, tokens, chosen, rank)
    saved_tokens, saved_square = _first_layer_savings(arch, chosen, rank)
    return flops - saved_tokens * _real(tokens) - saved_square * _real(square)


def generate(
    arch: Architecture, prompt_tokens: Amount, prompt_square: Amount, new_tokens: Amount, rows: Amount = 1
) -> Flops:
    """Greedy generation with a key-value cache.

    The prompt is read once, with logits at its last position only; every further token attends to all before
    it.

    Args:
        arch: the model.
        prompt_tokens: tokens of all prompts together (of this row, for vectors).
        prompt_square: sum over rows of the prompt's length squared.
        new_tokens: tokens generated for each row, the first one included.
        rows: how many rows.
    """
    rows, new = _real(rows), _real(new_tokens)
    steps = np.maximum(new - 1.0, 0.0)  # the first new token comes out of reading the prompt
    read = _body(arch, prompt_tokens, prompt_square) + _head(arch, rows, None)
    # the sum of context lengths over all steps
    seen = steps * _real(prompt_tokens) + rows * steps * (steps + 1.0) / 2.0
    written = _body(arch, rows * steps, seen) + _head(arch, rows * steps, None)
    total = read + written
    return total if isinstance(total, np.ndarray) and total.ndim else float(total)


def project(p: int, d: int, kind: ProjectionKind, signs: int = 4) -> float:
    """Projecting one gradient of p numbers down to d.

    `signs` is how many of the d a sparse sketch adds each coordinate to.

    Raises:
        UnknownName: no such kind of projection.
    """
    if kind == "rademacher":
        return 2.0 * p * d
    if kind == "srht":
        power = 1 << max(p - 1, 0).bit_length()
        return float(power) * math.log2(power)
    if kind == "sjlt":
        return 2.0 * signs * p
    raise UnknownName(unknown("projection", kind, ("rademacher", "srht", "sjlt")))


def inner(n: int, q: int, d: int) -> float:
    """All inner products of n vectors with q vectors of d numbers."""
    return 2.0 * n * q * d


def adapted(arch: Architecture, targets: Iterable[str] | str) -> tuple[Matrix, ...]:
    """The matrices adapters go on: by name as peft matches them, or `all-linear`.

    Raises:
        UnknownName: a target that no matrix is called.
        ModelError: `all-linear` of a model with experts.
    """
    able = [m for m in arch.matrices if m.held == 1 and m.name != "mlp.gate"]  # routers are no Linear
    wanted = [targets] if isinstance(targets, str) else list(targets)
    if wanted == ["all-linear"]:
        if any(m.held > 1 for m in arch.matrices):
            raise ModelError(
                f"cannot price adapters on all-linear of {arch.family}: peft puts them on the experts of "
                f"some families and not of others. Name the matrices: {', '.join(_short_names(able))}."
            )
        return tuple(able)
    for target in wanted:
        if not any(m.named(target) for m in able):
            known = [*_short_names(able), "all-linear"]
            raise UnknownName(unknown(f"matrix of {arch.family}", target, known))
    return tuple(m for m in able if any(m.named(target) for target in wanted))


def _short_names(matrices: Iterable[Matrix]) -> list[str]:
    return sorted({m.name.rsplit(".", 1)[-1] for m in matrices})


def _real(amount: Amount) -> Flops:
    """A float, or a float64 vector: integers could overflow."""
    return amount.astype(np.float64) if isinstance(amount, np.ndarray) else float(amount)


def _attention(arch: Architecture, square: Amount) -> Flops:
    """Scores and weighted values."""
    return 4.0 * arch.layers * arch.attention_width * _real(square)


def _body(arch: Architecture, tokens: Amount, square: Amount) -> Flops:
    return 2.0 * arch.body * _real(tokens) + _attention(arch, square)


def _head(arch: Architecture, tokens: Amount, head_tokens: Amount | None) -> Flops:
    return 2.0 * arch.head_matrix * _real(tokens if head_tokens is None else head_tokens)


def _never_recomputed(
    arch: Architecture, tokens: Amount, chosen: tuple[Matrix, ...] = (), rank: int = 0
) -> Flops:
    """What recomputation leaves out: it stops at the last saved input of a layer, before the last product.

    That is the down matrix, or on an adapted one the adapter's second half.
    """
    if arch.normed_output:
        return 0.0
    last = [m for m in arch.matrices if m.role == "down"]
    skipped = sum(rank * m.out * m.layers if m in chosen else m.multiplying for m in last)
    return 2.0 * skipped * _real(tokens)


def _first_layer_savings(arch: Architecture, chosen: tuple[Matrix, ...], rank: int) -> tuple[float, float]:
    """FLOPs per token, and per squared length, of gradients the first layer has no use for.

    A gradient with respect to an input is computed only where something trained lies before it.
    """
    trained = {m.role for m in chosen}
    attention = bool(trained & {"query", "key", "value", "qkv"})
    before = {"out": attention}
    before["up"] = not arch.parallel and (attention or "out" in trained)
    before["down"] = before["up"] or "up" in trained
    saved = 0.0
    for m in arch.matrices:
        if m.role in ("other", "router") or before.get(m.role, False):
            continue
        per_layer = m.into * m.out * m.active
        saved += 2.0 * per_layer + (2.0 * rank * m.into if m in chosen else 0.0)
    scores = bool(trained & {"query", "key", "qkv"})
    computed = scores + sum(bool(trained & {role, "qkv"}) for role in ("query", "key", "value"))
    return saved, 2.0 * arch.attention_width * (4 - computed)
