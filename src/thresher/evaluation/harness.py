"""lm-evaluation-harness as another engine: any task it has, or task files in a folder, on a model that is open here.

Its prompts, extraction and metrics are its own; what comes back has our shape, one outcome for each metric and filter.
`limit` takes the first rows of a task, as the harness does, not a draw.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np

from thresher.compute import flops, meter
from thresher.core.cost import Receipt
from thresher.errors import TaskError
from thresher.evaluation.outcome import Outcome
from thresher.models.finite import check_logits
from thresher.models.load import Opened
from thresher.models.quiet import quiet

BATCH = 8  # rows
RESAMPLES = 1000  # of metrics whose standard error the harness takes by bootstrap


def run(
    opened: Opened, names: Sequence[str], *, folder: Path | None = None, limit: int | None = None,
    shots: int | None = None, format: Literal["chat", "plain"] = "plain", seed: int = 0,
) -> tuple[list[Outcome], Receipt]:  # fmt: skip
    """Score an open model on tasks of the harness.

    Args:
        opened: the model.
        names: tasks, groups or tags of the harness, or of `folder`.
        folder: task files of one's own.
        limit: the first so many rows of each task.
        shots: worked examples; None leaves what the task says.
        format: the bare words, or the model's chat template with shots as turns.
        seed: of the draws of examples.

    Raises:
        TaskError: the harness is not installed, has no such task, or cannot read its rows.
        NonFinite: the model predicts NaN.
    """
    lm_eval = _library()
    if folder is not None and not folder.is_dir():
        raise TaskError(f"--harness-tasks: there is no folder {folder}.")
    with contextlib.redirect_stdout(sys.stderr), quiet(), _metered(opened), _undescribed():
        manager = lm_eval.tasks.TaskManager(include_path=None if folder is None else str(folder))
        _check(names, manager)
        from lm_eval.models.huggingface import HFLM

        with _errors_only("lm_eval"):  # two warnings that the model is open already
            model = HFLM(pretrained=opened.model, tokenizer=opened.tokenizer, backend="causal", batch_size=BATCH)
        with meter.block(f"evaluate {','.join(names)}", kind="forward") as block:
            try:
                found = lm_eval.simple_evaluate(
                    model=model, tasks=list(names), num_fewshot=shots, limit=limit, task_manager=manager,
                    apply_chat_template=format == "chat", fewshot_as_multiturn=format == "chat",
                    bootstrap_iters=RESAMPLES, random_seed=seed, numpy_random_seed=seed, torch_random_seed=seed,
                    fewshot_random_seed=seed,
                )  # fmt: skip
            except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
                raise TaskError(
                    f"lm-evaluation-harness cannot run {', '.join(names)}: {type(error).__name__}: {error}. Rows that "
                    "are not on this machine must be downloaded first, or named by path in a task file of yours."
                ) from error
    return [one for name in found["results"] for one in _outcomes(name, found)], block.receipt()


def _library() -> Any:
    try:
        import lm_eval

        import_module("lm_eval.tasks")
    except ModuleNotFoundError as error:
        if error.name != "lm_eval":
            raise
        raise TaskError("--harness needs the package lm_eval: pip install 'thresher[harness]'.") from None
    return lm_eval


def _check(names: Sequence[str], manager: Any) -> None:
    """Names that the harness has.

    Raises:
        TaskError: one it has not.
    """
    known = list(manager.all_tasks)  # groups and tags too
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise TaskError(
                f"lm-evaluation-harness has no task {name!r} among {len(known):,}.{hint} Files of your own: "
                "--harness-tasks FOLDER."
            )


def _outcomes(name: str, found: dict[str, Any]) -> Iterator[Outcome]:
    """Every number the harness gives for a task, with its standard error and each row's value where it keeps them."""
    scores = found["results"][name]
    samples = (found.get("samples") or {}).get(name) or []
    for key, score in scores.items():
        metric, _, filter_ = key.partition(",")
        if metric.endswith("_stderr") or isinstance(score, (str, bool)) or not isinstance(score, (int, float)):
            continue
        if not filter_:
            continue  # sample_len and the like
        se = scores.get(f"{metric}_stderr,{filter_}")
        rows = sorted((one for one in samples if one.get("filter") == filter_), key=lambda one: one["doc_id"])
        values = [one.get(metric) for one in rows]
        kept = all(isinstance(one, (int, float, bool)) for one in values)
        label = metric if filter_ == "none" else f"{metric}/{filter_}"
        yield Outcome(
            name, label, float(score), float(se) if isinstance(se, (int, float)) else math.nan,
            _rows(name, found, len(rows)), np.array(values if kept else [], np.float64),
        )  # fmt: skip


def _rows(name: str, found: dict[str, Any], counted: int) -> int:
    said = (found.get("n-samples") or {}).get(name) or {}
    return int(said.get("effective", counted))


@contextlib.contextmanager
def _undescribed() -> Iterator[None]:
    """Without the harness's own account of the machine, for which it runs git, pip and nvidia-smi after every task."""
    with mock.patch.multiple("lm_eval.evaluator", get_git_commit_hash=lambda: None, add_env_info=lambda results: None):
        yield


@contextlib.contextmanager
def _errors_only(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _metered(opened: Opened) -> Iterator[None]:
    """Every forward pass of the model on the meter, and its predictions looked at, whoever asks for it."""

    def count(_: Any, args: tuple, kwargs: dict) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is None:
            return
        b, s = ids.shape
        mask = kwargs.get("attention_mask")
        seen = s if mask is None or mask.dim() != 2 else mask.shape[1]
        read = b if kwargs.get("logits_to_keep") else b * s
        meter.count(flops=flops.forward(opened.architecture, b * s, b * s * seen, read), tokens=b * s)

    def look(_: Any, __: tuple, found: Any) -> None:
        check_logits(found.logits[:, -1])

    hooks = opened.model.register_forward_pre_hook(count, with_kwargs=True), opened.model.register_forward_hook(look)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
