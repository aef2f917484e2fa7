"""The warm-up itself: training with adapters, moments and rates kept after each epoch, gone on with after a kill."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import TrainerCallback

from thresher.compute import meter
from thresher.core.cost import Receipt
from thresher.core.pool import Pool
from thresher.core.store import write_bytes, writing
from thresher.models import load as models
from thresher.signals._checkpoints import MOMENTS, RECORD, Run
from thresher.training import sft
from thresher.training.recipe import Recipe


def run_and_keep(base: str, rows: Pool, recipe: Recipe, *, seed: int, epochs: Path) -> Run:
    """Train, or go on with an interrupted training; the folder `epochs` is what is left."""
    training = epochs / "training"
    with meter.block("warm-up", kind="train") as block:
        keep = _Keep(epochs, block)
        count_finished(training)  # killed before the record was written
        sft.train(base, [(rows, recipe)], seed=seed, out=training, callbacks=[keep])
    notes = [json.loads((epochs / str(i + 1) / "epoch.json").read_text()) for i in range(int(recipe.epochs))]
    lora = recipe.to_dict()["lora"]
    record = {
        "base": base, "base_hash": models.weights_hash(base), "lora": {**lora, "targets": list(lora["targets"])},
        "rates": [note["rate"] for note in notes], "rows": rows.ids(), "steps": notes[-1]["step"], "seed": seed,
        "flops": block.flops,
    }  # fmt: skip
    write_bytes(epochs / RECORD, json.dumps(record, indent=1).encode())
    shutil.rmtree(training)  # the last checkpoint says the same
    return Run.read(epochs)


def count_finished(folder: Path) -> None:
    """Put a training that an interrupted call had finished on this call's meter."""
    done = folder / sft.DONE
    if done.exists():
        receipt = Receipt.from_dict(json.loads(done.read_text())["receipt"])
        meter.count(flops=receipt.flops, tokens=receipt.tokens)


class _Keep(TrainerCallback):
    """After the last step of each epoch: adapters, moments and mean rate, then the Trainer's own checkpoint.

    In this order: an epoch that is not kept whole is trained again from the checkpoint before it.
    """

    def __init__(self, folder: Path, block: meter.Block) -> None:
        self.folder, self.block = folder, block
        self.rates: list[float] = []  # of the steps since the last checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        before = self.folder / str(self._epoch(args, state)) / "epoch.json"
        if before.exists():  # paid for by a run that was interrupted
            note = json.loads(before.read_text())
            meter.count(flops=note["flops"], tokens=note["tokens"])

    def on_optimizer_step(self, args: Any, state: Any, control: Any, *, optimizer: Any, **kwargs: Any) -> None:
        self.rates.append(float(optimizer.param_groups[0]["lr"]))

    def on_step_end(
        self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **kwargs: Any
    ) -> None:  # fmt: skip
        if state.global_step % self._steps(args, state):
            return
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        moments = {f"{m}.{name}": optimizer.state[p][m] for name, p in parameters.items() for m in MOMENTS}
        note = {
            "rate": sum(self.rates) / len(self.rates), "step": state.global_step,
            "flops": self.block.flops, "tokens": self.block.tokens,
        }  # fmt: skip
        self._write(self.folder / str(self._epoch(args, state)), parameters, moments, note)
        self.rates.clear()
        control.should_save = True

    def _write(self, out: Path, parameters: dict, moments: dict, note: dict) -> None:
        """A folder that is there whole or not at all."""
        part = out.with_name(f"{out.name}.part")
        with writing(out):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            for name, tensors in (("adapters", parameters), ("moments", moments)):
                save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part / f"{name}.safetensors")
            (part / "epoch.json").write_text(json.dumps(note))
            shutil.rmtree(out, ignore_errors=True)
            os.replace(part, out)

    @staticmethod
    def _steps(args: Any, state: Any) -> int:
        return max(1, round(state.max_steps / args.num_train_epochs))

    def _epoch(self, args: Any, state: Any) -> int:
        return state.global_step // self._steps(args, state)
