"""Supervised fine-tuning with the transformers Trainer, and peft where the recipe has adapters."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from thresher.compute import meter
from thresher.compute.flops import Architecture
from thresher.core.cost import Receipt
from thresher.core.disk import alone, beside, writing
from thresher.core.pool import Pool
from thresher.data.chat import Encoded, encode
from thresher.errors import NonFinite, PoolError
from thresher.models import load
from thresher.models.fresh import fresh_model
from thresher.models.quiet import quiet
from thresher.training import begun, tracking
from thresher.training.collated import Collator, Rows
from thresher.training.counting import CountingTrainer
from thresher.training.finite import Finite
from thresher.training.in_flight import Watch
from thresher.training.kept import Summed, finished, latest
from thresher.training.origin import DONE
from thresher.training.recipe import Recipe, cut_into_steps, step_flops, total_flops
from thresher.training.trainer import PrinterCallback, TrainerCallback, TrainingArguments, set_seed

log = logging.getLogger(__name__)


def train(
    model: str,
    stages: Sequence[tuple[Pool | Encoded, Recipe]],
    *,
    seed: int,
    out: Path,
    device: str = "auto",
    progress: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    watch: Watch | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Receipt:
    """Fine-tune on one data set after another; the result is an ordinary folder or adapter.

    Args:
        model: what `models.load.resolve` gave.
        stages: rows and recipe of each stage in turn (a warm-up, then the target). Weights carry over, the
            optimiser starts anew.
        seed: fixes adapters, data order and dropout.
        out: the folder that is left; finished folders are not trained again.
        device: "auto", "cpu", "cuda".
        progress: show the Trainer's bar on stderr.
        callbacks: the Trainer's own kind.
        watch: is told each row's own loss as it is trained on.
        origin: what `training.origin` says of the model and the rows, kept in the folder that is left.

    Returns:
        What was done, batches counted with their padding. Rows without a token to train on inside the recipe's window
        are left out, with a warning. `left_out` in the folder has their number in each stage, `cut` the number of rows
        that were cut to the window.

    Raises:
        PoolError: a stage without a trainable token.
        RecipeError: a tracker that is not there.
        StoreError: `out` is the training, finished or not, of other rows, or of another recipe, seed or model.
        NonFinite: it diverged.
    """
    for _, recipe in stages:
        tracking.trackers(recipe.report_to)  # before anything is done
    first = os.environ.get("RANK", "0") == "0"  # of several processes under accelerate
    with alone(beside(out)) if first else nullcontext():
        wanted = begun.what(model, stages, seed)
        begun.check(out, part_of(out), wanted)
        return finished(out) or _train(model, stages, seed, out, device, progress, callbacks, watch, origin, wanted)


def _train(
    model: str, stages: Sequence[tuple[Pool | Encoded, Recipe]], seed: int, out: Path, device: str, progress: bool,
    callbacks: Sequence[TrainerCallback], watch: Watch | None, origin: Mapping[str, Any] | None,
    wanted: Mapping[str, Any],
) -> Receipt:  # fmt: skip
    arch = load.architecture(model)
    tokenizer = load.open_tokenizer(model)
    encoded = [_trainable(pool, recipe, tokenizer) for pool, recipe in stages]
    estimate = sum(total_flops(recipe, arch, rows.lengths()) for rows, (_, recipe) in zip(encoded, stages, strict=True))
    part = part_of(out)
    with (
        meter.block("training", estimated_flops=estimate, kind="train") as block,
        writing(part),
        tracking.beside(out),
    ):
        begun.leave(part, wanted)
        network = fresh_model(model)
        try:
            for number, (rows, (_, recipe)) in enumerate(zip(encoded, stages, strict=True), start=1):
                network = _stage(
                    network, rows, recipe, arch, part / f"stage-{number}", seed, device, progress, callbacks, watch
                )
        except NonFinite:
            shutil.rmtree(part, ignore_errors=True)  # its checkpoints are no good to go on from
            raise
    receipt = _of_all_processes(block.receipt())
    processes = PartialState()
    if processes.is_main_process:
        about = {
            "model": model,
            **wanted,
            "device": str(processes.device),
            "attention": network.config._attn_implementation,
            "processes": processes.num_processes,
            "left_out": [len(pool) - len(rows) for rows, (pool, _) in zip(encoded, stages, strict=True)],
            "cut": [int((rows.cut > 0).sum()) for rows in encoded],
            "receipt": receipt.to_dict(),
            **(origin or {}),
        }
        with writing(out):
            _leave(network, tokenizer, about, part, out)
    processes.wait_for_everyone()
    return receipt


def part_of(out: Path) -> Path:
    """Where a training is until it has ended."""
    return out.with_name(out.name + ".part")


def _of_all_processes(own: Receipt) -> Receipt:
    """Under accelerate every process counts its own batches, which are as many as every other's."""
    world = PartialState().num_processes
    return replace(own, flops=own.flops * world, tokens=own.tokens * world, cpu_seconds=own.cpu_seconds * world)


def _leave(network: Any, tokenizer: Any, about: dict[str, Any], part: Path, out: Path) -> None:  # noqa: ANN401
    """An ordinary folder or adapter, whole or not at all."""
    part.mkdir(parents=True, exist_ok=True)
    with quiet():
        network.save_pretrained(part)
        tokenizer.save_pretrained(part)
    for folder in part.glob("stage-*"):
        shutil.rmtree(folder)
    (part / begun.BEGUN).unlink(missing_ok=True)
    (part / DONE).write_text(json.dumps(about, indent=1))
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)


def _trainable(pool: Pool | Encoded, recipe: Recipe, tokenizer: Any) -> Encoded:  # noqa: ANN401
    if isinstance(pool, Encoded):
        return pool
    rows = encode(pool, tokenizer, max_tokens=recipe.max_tokens)
    if recipe.loss == "answer":
        keep = np.flatnonzero(rows.answer_tokens() > 0)
        rows = rows.take(keep) if len(keep) < len(rows) else rows
    if len(rows) == 0:
        raise PoolError(
            f"{pool.name}: none of the {len(pool)} rows has a token to train on in {recipe.max_tokens} tokens."
        )
    if len(rows) < len(pool):
        log.warning(
            "%s: %d of %d rows have no token to train on within %d tokens (the recipe's max_tokens) and are left out",
            pool.name, len(pool) - len(rows), len(pool), recipe.max_tokens,
        )  # fmt: skip
    return rows


def _stage(
    network: torch.nn.Module, rows: Encoded, recipe: Recipe, arch: Architecture, folder: Path, seed: int,
    device: str, progress: bool, callbacks: Sequence[TrainerCallback], watch: Watch | None,
) -> torch.nn.Module:  # fmt: skip
    set_seed(seed)
    if recipe.lora is not None and not hasattr(network, "peft_config"):
        network = with_adapters(network, recipe)
    trainer = CountingTrainer(
        model=network,
        args=arguments(recipe, len(rows), folder, seed, device, progress),
        train_dataset=Rows(rows),
        data_collator=Collator(recipe.loss == "all"),
        callbacks=[*callbacks, Summed()],
        compute_loss_func=watch.loss if watch is not None else None,
    )
    trainer.watch, trainer.finite = watch, Finite(recipe, bfloat16=trainer.args.bf16)
    trainer.remove_callback(PrinterCallback)  # stdout is for results
    trainer.priced = lambda tokens, square: step_flops(recipe, arch, tokens, square)
    trainer.train(resume_from_checkpoint=latest(folder))
    trainer.finite.end(trainer.model, trainer.state.global_step)
    return trainer.accelerator.unwrap_model(trainer.model)


def with_adapters(network: torch.nn.Module, recipe: Recipe) -> Any:  # noqa: ANN401
    """The network with the recipe's adapters on it, which alone are trainable; it is changed in place."""
    from peft import LoraConfig, get_peft_model  # peft takes seconds to import

    lora = recipe.lora
    assert lora is not None, "adapters are asked for by the recipe"
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )
    return get_peft_model(network, config)


def arguments(recipe: Recipe, n: int, folder: Path, seed: int, device: str, progress: bool) -> TrainingArguments:
    """The Trainer's own arguments for a recipe; batch_size is the whole step's, over all devices."""
    cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    devices = int(os.environ.get("WORLD_SIZE", "1"))  # of accelerate launch
    micro, accumulate, steps = cut_into_steps(recipe, n, devices)
    bf16 = recipe.precision == "bfloat16" or (recipe.precision == "auto" and not cpu)
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.steps or -1,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=min(math.ceil(recipe.warmup * steps), steps - 1),  # the first step of a warm-up is of rate zero
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.adam_beta1,
        adam_beta2=recipe.adam_beta2,
        max_grad_norm=recipe.clip,
        bf16=bf16,
        activation_checkpointing=recipe.checkpointing,
        train_sampling_strategy=_sampling(recipe, accumulate),
        use_cpu=cpu,
        seed=seed,
        data_seed=seed,
        save_strategy="steps" if recipe.save_every else "no",
        save_steps=recipe.save_every or 500,
        save_total_limit=1,
        logging_strategy="steps" if recipe.report_to != "none" or progress else "no",
        logging_steps=10,
        report_to=tracking.trackers(recipe.report_to) or "none",
        run_name="/".join(folder.absolute().parts[-3:]).replace(".part/", "/"),  # for trackers
        disable_tqdm=not progress,
        dataloader_pin_memory=not cpu,
        remove_unused_columns=False,
    )


def _sampling(recipe: Recipe, accumulate: int) -> str:
    """Rows in the given order, or shuffled; inside one step, rows of like length go through together."""
    if recipe.order == "given":
        return "sequential"
    return "batch_rebalance" if accumulate > 1 else "random"
