"""An encoder trained so that two pieces of one text lie closer than pieces of different texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Int
from safetensors.torch import save_model
from torch.nn import functional as F

from thresher.compute import flops, meter
from thresher.core.store import writing
from thresher.data.chat import Encoded, join
from thresher.errors import FieldError
from thresher.models import encoder
from thresher.models.batching import batches
from thresher.models.device import choose_device
from thresher.models.hidden import TOKEN_BUDGET, Pooling, vectors

WEIGHTS, ABOUT = "encoder.safetensors", "contrast.json"
WARM_UP, DECAY, CLIP = 0.1, 0.01, 1.0  # share of the steps, weight decay, norm of the gradient


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """How an encoder is tuned on texts without labels.

        loss = -mean_i ln( exp(u_i v_i / tau) / sum_j exp(u_i v_j / tau) ), over the texts of a step, and u, v in turn

    u_i and v_i are vectors, of length one, of two pieces of text i, each a share of its tokens from a place drawn anew
    in every epoch. AdamW, the rate rising over a tenth of the steps and falling linearly to nothing.

    Source:  the loss of van den Oord et al. 2018, arXiv:1807.03748; pieces as in Izacard et al. 2022, arXiv:2112.09118.
    """

    epochs: Annotated[int, "passes over the texts"] = 3
    batch_size: Annotated[int, "texts a step, which are told apart; memory grows with it"] = 32
    learning_rate: Annotated[float, "peak"] = 5e-5
    temperature: Annotated[float, "tau"] = 0.05
    piece: Annotated[float, "share of a text's tokens in each piece"] = 0.5
    seed: Annotated[int, "of order, pieces and dropout"] = 0

    def __post_init__(self) -> None:
        """Numbers must be possible.

        Raises:
            FieldError: one is not.
        """
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise FieldError(f"tuning.{name} must be at least {least}, and is {getattr(self, name)}.")
        for name in ("learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise FieldError(f"tuning.{name} must be above 0, and is {getattr(self, name)}.")
        if not 0 < self.piece <= 1:
            raise FieldError(f"tuning.piece is a share of a text, above 0 and at most 1, and is {self.piece}.")

    def lengths(self, whole: Int[np.ndarray, " n"], around: int) -> Int[np.ndarray, " n"]:
        """Tokens of a piece of texts of so many tokens, `around` of them special; these stand around pieces too."""
        return around + np.maximum(1, np.ceil(self.piece * (whole - around)).astype(np.int64))

    def flops(self, path: str, tokens: int, square: float) -> float:
        """Of all epochs; tokens of one piece of every text, and the sum of their squared lengths."""
        return self.epochs * 2 * 3.0 * flops.embed(encoder.architecture(path), tokens, square)


def tune(path: str, tokens: Encoded, pooling: Pooling, how: Contrast, out: Path) -> dict[str, Any]:
    """Train all weights of an encoder on texts, once; `out` is there whole or not at all.

    Args:
        path: the encoder's folder.
        tokens: n texts, at least two, each with a token besides the special ones; their order fixes the draws.
        pooling: how states become a text's vector; layers after pooling are neither trained nor in the loss.
        how: see there.
        out: the folder for the weights and for what is returned.

    Returns:
        steps, FLOPs (padding included, those of an earlier call where it was done) and the mean loss of each epoch.
    """
    if (out / ABOUT).exists():
        return json.loads((out / ABOUT).read_text())
    device, part = choose_device("auto"), out.with_name(out.name + ".part")
    with meter.block("contrast", kind="train") as block, torch.random.fork_rng():
        torch.manual_seed(how.seed)
        opened = encoder.load_encoder(path, device, "float32")
        opened.model.train().requires_grad_(True)
        losses = _train(opened, path, tokens, pooling, how)
    about = {"texts": len(tokens), "steps": len(losses), "flops": block.flops, "loss": _by_epoch(losses, how.epochs)}
    with writing(part):
        part.mkdir(parents=True, exist_ok=True)
        save_model(opened.model, str(part / WEIGHTS))
        (part / ABOUT).write_text(json.dumps(about, indent=1))
        part.rename(out)
    return about


def _train(opened: encoder.Encoder, path: str, tokens: Encoded, pooling: Pooling, how: Contrast) -> list[float]:
    per_epoch = max(1, len(tokens) // how.batch_size)
    steps, around = how.epochs * per_epoch, encoder.around(path)
    optimiser = torch.optim.AdamW(opened.model.parameters(), lr=how.learning_rate, weight_decay=DECAY)
    warm = max(1, round(WARM_UP * steps))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm))
    )
    losses = []
    for rows, rng in _steps(len(tokens), per_epoch, how):
        pieces = _pieces(tokens, rows, around, how, rng)
        first, second = _forward(opened, pieces, pooling).chunk(2)  # (b, d) each
        alike = first @ second.T / how.temperature
        same = torch.arange(len(rows), device=alike.device)
        loss = (F.cross_entropy(alike, same) + F.cross_entropy(alike.T, same)) / 2
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(opened.model.parameters(), CLIP)
        optimiser.step()
        rate.step()
        losses.append(loss.item())
    return losses


def _steps(
    n: int, per_epoch: int, how: Contrast
) -> Iterator[tuple[Int[np.ndarray, " b"], np.random.Generator]]:
    """Texts of each step, nearly as many in all: what is over is shared out."""
    for epoch in range(how.epochs):
        rng = np.random.default_rng([how.seed, epoch])
        for rows in np.array_split(rng.permutation(n), per_epoch):
            yield rows, rng


def _pieces(
    tokens: Encoded, rows: Int[np.ndarray, " b"], around: tuple[int, int], how: Contrast, rng: np.random.Generator
) -> Encoded:
    """2 b pieces: the first of every text, then the second of every text."""
    before, after = around
    sizes = how.lengths(tokens.lengths()[rows], before + after) - before - after
    found = []
    for _ in range(2):
        for row, size in zip(rows, sizes, strict=True):
            ids, _ = tokens.row(int(row))
            start = before + int(rng.integers(len(ids) - before - after - size + 1))
            found.append(np.concatenate([ids[:before], ids[start : start + size], ids[len(ids) - after :]]))
    return join(found, [np.ones(len(ids), bool) for ids in found], np.zeros(len(found), np.int64), tokens.template)


def _forward(opened: encoder.Encoder, pieces: Encoded, pooling: Pooling) -> torch.Tensor:
    """(2b, d) of length one, in the pieces' order; pieces of like length go through together."""
    found, order = [], []
    for some in batches(pieces.lengths(), TOKEN_BUDGET):
        part, s = vectors(opened.model, pieces, some, pooling, pad_id=opened.pad_id, device=opened.device)
        once = flops.embed(opened.architecture, len(some) * s, len(some) * s * s)
        meter.count(flops=3.0 * once, tokens=len(some) * s)
        found.append(part)
        order.append(some)
    back = torch.from_numpy(np.argsort(np.concatenate(order)))
    return F.normalize(torch.cat(found)[back], dim=1)


def _by_epoch(losses: list[float], epochs: int) -> list[float]:
    return [float(f"{np.mean(part):.4g}") for part in np.array_split(losses, epochs)]
