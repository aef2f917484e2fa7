"""A short training of the model a selection is for, with a sample of rows read along the way."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from thresher.compute import meter
from thresher.core.cost import Receipt
from thresher.core.pool import Pool
from thresher.errors import FieldError, NonFinite
from thresher.models import gradient, load, projection
from thresher.models.device import choose_device
from thresher.models.loss import negative_log_likelihood, row_statistics
from thresher.training.at_steps import AtSteps, Snapshot
from thresher.training.recipe import Recipe
from thresher.training.sft import train


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is read, and when.

    Attributes:
        model: resolved path of the model that is trained.
        recipe: the user's own; only its length is replaced.
        steps: optimiser steps of the short run.
        points: steps after which the sample's losses are read.
        gradients_at: steps after which its gradients are read, projected to `d` numbers.
        d: see above.
        seed: of the run, of the rows it is trained on, and of the projection.
    """

    model: str
    recipe: Recipe
    steps: int
    points: tuple[int, ...]
    gradients_at: tuple[int, ...]
    d: int = 2048
    seed: int = 0

    def __post_init__(self) -> None:
        """Points and steps must go together.

        Raises:
            FieldError: more points than steps.
        """
        if not 1 <= len(self.points) <= self.steps:
            raise FieldError(
                f"{len(self.points)} points do not fit into {self.steps} steps of the short run. Ask for more steps."
            )


@dataclass
class Readings:
    """What was read of the sample."""

    losses: Float[np.ndarray, "m t"]
    gradients: dict[int, Float[np.ndarray, "g d"]] = field(default_factory=dict)  # by step; of the first g rows
    receipts: list[Receipt] = field(default_factory=list)


def run(plan: Plan, pool: Pool, sample: Int[np.ndarray, " m"], *, gradient_rows: int, folder: Path) -> Readings:
    """Train on rows drawn from the pool, in a folder that is gone afterwards.

    Args:
        plan: see there.
        pool: what the run's rows are drawn from, uniformly.
        sample: rows of the pool that are read.
        gradient_rows: how many of them, from the first, have their gradients read.
        folder: where a temporary folder may stand.

    Raises:
        NonFinite: a loss of the sample is not a number.
    """  # noqa: DOC501
    recipe = replace(plan.recipe, steps=plan.steps, save_every=None, report_to="none")
    tokens = load.encoded(plan.model, pool, recipe.max_tokens).take(sample)
    found = Readings(np.full((len(sample), len(plan.points)), np.nan))
    reader = _Reader(plan, recipe, tokens, gradient_rows, found)
    rows = np.random.default_rng([plan.seed, 0x696E]).permutation(len(pool))[: plan.steps * recipe.batch_size]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        stops = sorted({*plan.points, *plan.gradients_at})
        with meter.block("inspect: train the model", kind="train") as whole:
            train(
                plan.model, [(pool.take(np.sort(rows)), recipe)], seed=plan.seed, out=Path(scratch) / "model",
                callbacks=[_Stops(stops, reader.read)],
            )  # fmt: skip
    told = whole.receipt()
    inside = Receipt.merge("inspect: reading", found.receipts)
    trained = replace(
        told, flops=told.flops - inside.flops, seconds=told.seconds - inside.seconds,
        cpu_seconds=told.cpu_seconds - inside.cpu_seconds, tokens=told.tokens - inside.tokens,
    )  # fmt: skip
    losses = [receipt for receipt in found.receipts if receipt.stage == _LOSSES]
    gradients = [receipt for receipt in found.receipts if receipt.stage == _GRADIENTS]
    found.receipts = [trained, Receipt.merge(_LOSSES, losses)]
    found.receipts += [Receipt.merge(_GRADIENTS, gradients)] if gradients else []
    return found


class _Stops(AtSteps):
    """Stops that leave no checkpoint: this run is short, and starts again where it was killed."""

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:  # noqa: ANN401
        """A stop, or not."""
        super().on_step_end(args, state, control, model=model, **others)
        control.should_save = False


_LOSSES, _GRADIENTS = "inspect: losses of the sample", "inspect: gradients of the sample"


class _Reader:
    """Reads a copy of the network, so that training goes on as if nothing had been asked."""

    def __init__(self, plan: Plan, recipe: Recipe, tokens: Any, gradient_rows: int, found: Readings) -> None:  # noqa: ANN401
        self.plan, self.recipe, self.tokens, self.found = plan, recipe, tokens, found
        self.first = np.arange(min(gradient_rows, len(tokens)))
        self.snapshot: Snapshot | None = None

    def read(self, step: int, network: Any) -> None:  # noqa: ANN401
        """Losses and gradients, whichever is due.

        Raises:
            NonFinite: a loss is not a number.
        """
        if self.snapshot is None:
            self.snapshot = Snapshot(self.plan.model, self.recipe, device=choose_device("auto"), dtype="float32")
        opened = self.snapshot.of(network)
        if step in self.plan.points:
            with meter.block(_LOSSES) as block:
                sums, counts = row_statistics(opened, self.tokens, negative_log_likelihood)
            values = sums / np.maximum(counts, 1)
            if not np.isfinite(values).all():
                raise NonFinite(
                    f"the model's loss is not a number after {step} of {self.plan.steps} steps for "
                    f"{int((~np.isfinite(values)).sum())} of {len(values)} rows: the recipe diverges here. Lower its "
                    "learning_rate."
                )
            self.found.losses[:, self.plan.points.index(step)] = values
            self.found.receipts.append(block.receipt())
        if step in self.plan.gradients_at and len(self.first):
            with meter.block(_GRADIENTS, kind="train") as block:
                self.found.gradients[step] = self._gradients(opened.pad_id)
            self.found.receipts.append(block.receipt())

    def _gradients(self, pad: int) -> Float[np.ndarray, "g d"]:
        assert self.snapshot is not None, "read() has made it"
        network, match = self.snapshot.copy, matched(self.snapshot.copy)
        p = gradient.parameters(network, match)
        drawn = projection.make("sjlt", p, self.plan.d, self.plan.seed)
        out = np.zeros((len(self.first), drawn.d), np.float32)
        some = self.tokens.take(self.first)
        for rows, values in gradient.each_projected(network, some, drawn, match=match, pad=pad):
            out[rows] = values.cpu().numpy()
        return out


def matched(network: torch.nn.Module) -> list[str]:
    """The adapters, where there are some; else every linear layer but the output head."""
    if any("lora_" in name for name, _ in network.named_parameters()):
        return ["lora_"]
    head = network.get_output_embeddings()  # type: ignore[operator]
    return [
        f"{name}.weight" for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    ]  # fmt: skip
