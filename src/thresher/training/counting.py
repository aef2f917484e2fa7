"""The Trainer with every batch it runs on the meter, and with one that does not fit into memory done in two halves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.data import Dataset

from thresher.compute import meter
from thresher.errors import ModelError
from thresher.models import halving
from thresher.training.finite import Finite
from thresher.training.in_flight import Watch
from thresher.training.trainer import BatchRebalanceSampler, Trainer

log = logging.getLogger(__name__)
EPOCHS_APART = 100_003  # the sampler adds the epoch to its seed: no epoch of one seed is another's of the next
Batch = Mapping[str, torch.Tensor]


class CountingTrainer(Trainer):
    """What a micro-batch costs is counted when it is done.

    One for which memory runs out is done again in two halves, once, after the micro-batches of the same optimiser step
    before it, for its backward pass may have added part of its gradients. A step's loss is a sum over its tokens, so
    its gradients are the same to rounding; dropout draws new masks. Not where several processes train together, for the
    others wait for this one.
    """

    priced: Callable[[float, float], float]
    finite: Finite
    watch: Watch | None = None
    _step, _done = -1, ()  # of the optimiser step under way: its number, its micro-batches so far

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Any:  # noqa: ANN401
        """The Trainer's own, but that rows of like length are shuffled by the run's seed: it always takes 42."""
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, BatchRebalanceSampler):
            sampler.seed = EPOCHS_APART * int(self.args.data_seed or 0)
        return sampler

    def training_step(
        self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """The loss of one micro-batch, whose gradients are added.

        Raises:
            ModelError: memory runs out for a half of it, too, or it is a single row.
            NonFinite: the training diverged.
        """
        if self._step != self.state.global_step:
            self._step, self._done = self.state.global_step, ()
        if num_items_in_batch is None or self.accelerator.num_processes > 1:  # a mean; others wait at the step's end
            return self._counted(model, inputs, num_items_in_batch)
        found = halving.tried(lambda: self._counted(model, inputs, num_items_in_batch))
        loss = self._in_halves(model, inputs, num_items_in_batch) if found is None else found[0]
        self._done = (*self._done, inputs)
        return loss

    def _in_halves(
        self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        b, s = inputs["input_ids"].shape
        halving.said(b)
        model.zero_grad()
        halves = [{name: rows[part] for name, rows in inputs.items()} for part in (slice(b // 2), slice(b // 2, b))]

        def both() -> torch.Tensor:
            for batch in self._done:
                self._counted(model, batch, num_items_in_batch, again=True)
            return sum(self._counted(model, half, num_items_in_batch) for half in halves)

        found = halving.tried(both) if b > 1 else None
        if found is None:
            half = ", and neither did half of it" if b > 1 else ""
            raise ModelError(
                f"out of memory: a micro-batch of {b} rows of {s} tokens did not fit{half}. What is finished is kept: "
                "set a smaller micro_batch or max_tokens in the recipe, checkpointing = true, or take a smaller model, "
                "and run it again."
            )
        return found[0]

    def _counted(
        self, model: torch.nn.Module, inputs: Batch, num_items_in_batch: torch.Tensor | int | None, again: bool = False
    ) -> torch.Tensor:
        read = {name: value for name, value in inputs.items() if name != "rows"}
        loss = super().training_step(model, read, num_items_in_batch)
        self.finite.loss(loss, self.state.global_step)
        b, s = inputs["input_ids"].shape
        meter.count(flops=self.priced(float(b * s), float(b * s * s)), tokens=b * s)
        if self.watch is not None and not again:
            self.watch.batch(self.state.global_step, inputs["rows"].cpu().numpy())
        return loss
