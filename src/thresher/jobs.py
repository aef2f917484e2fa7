"""The models of a run: an arm, a budget, a seed and a protocol each, with its rows chosen."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thresher import choosing, methods
from thresher.compute.local import Mapper
from thresher.core import events
from thresher.core.budget import Budget
from thresher.errors import PoolError, RecipeError
from thresher.job import Job
from thresher.models import load
from thresher.planning.results import EQUAL_STEPS
from thresher.setting import Setting
from thresher.spec import Arm, Spec
from thresher.stages import Stage, longest_training, protocol_name, recipe_under, unlabelled

Say = Callable[[str], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Rows:
    """What an arm trains on first, before it is said for how long."""

    arm: Arm
    name: str
    seed: int
    budget: str
    stage: Stage | None  # nothing: stage two alone
    line: dict[str, Any]
    scorer: str = ""
    size: int = 0  # rows with repeats


def jobs_of(spec: Spec, setting: Setting, out: Path, say: Say, mapper: Mapper | None) -> list[Job]:
    """Every model to train; choosing is done here, before any training.

    Raises:
        RecipeError: arms, budgets and protocols that do not go together.
        PoolError: an arm trains on the target and there is none.
    """
    check(spec, setting)
    chosen = list(_all_rows(spec, setting, out, say, mapper))
    steps = spec.steps
    if EQUAL_STEPS in spec.protocols and steps is None:
        subsets = [rows for rows in chosen if methods.get(rows.arm.method).train == "subset"] or chosen
        steps = longest_training(spec.recipe, [rows.size for rows in subsets])
        say(f"{EQUAL_STEPS}: {steps} steps, as many as the largest subset takes")
    jobs: list[Job] = []
    for arm in spec.arms:
        if methods.get(arm.method).train == "none":
            jobs += _untrained(spec, setting, out, arm)
        here = setting.with_scorer(arm.scorer)
        jobs += [job for rows in chosen if rows.arm is arm for job in _trained(spec, here, out, rows, steps)]
    return jobs


def check(spec: Spec, setting: Setting) -> None:
    """Whether a run can be done as it is written, before anything is chosen.

    Raises:
        RecipeError: arms, budgets and protocols that do not go together.
        PoolError: an arm trains on the target or chooses by it, and there is none.
        FieldError: a field of an arm that cannot have its value.
        UnknownName: a field of an arm that does not exist.
    """
    if EQUAL_STEPS in spec.protocols:
        for text in spec.budgets:
            if Budget.parse(text, len(setting.pool)).pays_for_selection:
                raise RecipeError(
                    f"run: a budget of {text} cannot say how many rows to take where every subset is trained for as "
                    f"many steps ({EQUAL_STEPS}). Give budgets in rows or tokens, or the protocol equal-epochs alone."
                )
    labels: list[str] = []
    for arm in spec.arms:
        train = methods.get(arm.method).train
        if train == "labelled" and spec.second is None:
            raise RecipeError(f"run: {arm.method} is stage two alone, and the run has no second stage. Add `stages:`.")
        if train == "target" and setting.target is None:
            raise PoolError(f"{arm.method} trains on the target's own text, and there is none. Add `target:`.")
        if arm.matching is not None and (labels.count(arm.matching) != 1 or EQUAL_STEPS in spec.protocols):
            raise RecipeError(
                f"run: {arm.label} is to match {arm.matching!r}: that must be the label of one arm above it "
                f"({', '.join(labels) or 'there is none'}), and the protocol equal-epochs."
            )
        labels += [arm.label] if train == "subset" else []
        if train in ("subset", "all"):
            choosing.parts_of(setting.with_scorer(arm.scorer), arm.method, arm.overrides)


def _all_rows(spec: Spec, setting: Setting, out: Path, say: Say, mapper: Mapper | None) -> Iterator[_Rows]:
    for arm in spec.arms:
        method = methods.get(arm.method)
        if method.train == "none":
            continue
        here = setting.with_scorer(arm.scorer)
        for budget in spec.budgets if method.train == "subset" else ("100%",):
            for seed in spec.seeds:
                if method.train in ("subset", "all"):
                    yield _chosen(spec, here, out, arm, budget, seed, say, mapper)
                else:
                    yield _not_chosen(spec, here, out, arm, seed)


def _chosen(
    spec: Spec, setting: Setting, out: Path, arm: Arm, budget: str, seed: int, say: Say, mapper: Mapper | None
) -> _Rows:
    name = _folder_name(arm.label, arm.scorer or "", budget, seed)
    folder = out / "selections" / name
    fault = choosing.fault_of(folder) if (folder / "card.json").exists() else None
    if fault is not None:
        log.warning("the selection %s is damaged (%s): it is chosen again", folder, fault)
    if fault is not None or not (folder / "card.json").exists():
        amount = budget if arm.matching is None else _spent_by(spec, arm.matching, budget, seed, out)
        choice = choosing.choose(setting, arm.method, amount, seed=seed, overrides=arm.overrides, mapper=mapper)
        choosing.write(choice, folder, command=f"thresher run: {arm.label}, {budget}, seed {seed}")
        say(f"chose {len(choice.index)} rows: {name}")
        events.emit("chosen", selection=name, rows=len(choice.index), selection_flops=choice.selection_flops)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    line = {
        "rows": card["chosen"]["rows"],
        "fraction": card["chosen"]["rows"] / card["pool"]["rows"],
        "train_tokens": card["chosen"]["tokens"],
        "selection_flops": card["cost"]["measured"]["selection_flops"],
        "selection_seconds": card["cost"]["measured"]["selection_seconds"],
        "budget": budget,
    }
    read = "scorer" in methods.get(arm.method).needs
    scorer = (setting.sources.scorer or setting.sources.model or "") if read else ""
    stage = Stage(rows=(str(folder / "selected.jsonl"),), format=setting.pool.format, recipe=spec.recipe)
    return _Rows(arm, name, seed, budget, stage, line, scorer, card["chosen"]["with_repeats"])


def _spent_by(spec: Spec, label: str, budget: str, seed: int, out: Path) -> str:
    """What choosing and the first stage of another arm cost, as a budget."""
    scorer = next(arm.scorer for arm in spec.arms if arm.label == label) or ""
    card = json.loads((out / "selections" / _folder_name(label, scorer, budget, seed) / "card.json").read_text())
    total = card["cost"]["measured"]["selection_flops"] + card["cost"]["estimated"]["training_flops"]
    return f"{total:.6e} flops"


def _not_chosen(spec: Spec, setting: Setting, out: Path, arm: Arm, seed: int) -> _Rows:
    """The target's own text, or nothing before stage two."""
    name = _folder_name(arm.label, "", "", seed)
    if methods.get(arm.method).train == "labelled":
        return _Rows(arm, name, seed, "", None, {"rows": 0, "train_tokens": 0})
    assert setting.target is not None, "checked above"
    path = out / "target.jsonl"
    if not path.exists():
        unlabelled(setting.target, path)
    stage = Stage(rows=(str(path),), format="text", recipe=spec.recipe)
    n = len(setting.target)
    return _Rows(arm, name, seed, "", stage, {"rows": n, "fraction": None, "train_tokens": None}, size=n)


def _folder_name(label: str, scorer: str, budget: str, seed: int) -> str:
    return re.sub(r"[^\w.%$-]+", "_", "-".join(part for part in (label, scorer, budget, str(seed)) if part))


def _trained(spec: Spec, setting: Setting, out: Path, rows: _Rows, steps: int | None) -> Iterator[Job]:
    """One job a protocol; stage two alone is the same under each."""
    if rows.stage is None:
        names = tuple(protocol_name(protocol, spec.second) for protocol in spec.protocols)
        assert spec.second is not None, "checked above"
        yield _job(spec, setting, out, rows, rows.name, (spec.second,), names)
        return
    for protocol in spec.protocols:
        recipe = recipe_under(protocol, rows.stage.recipe, steps, methods.get(rows.arm.method).order)
        stages = (replace(rows.stage, recipe=recipe), *(() if spec.second is None else (spec.second,)))
        name = rows.name if protocol == spec.protocols[0] else f"{rows.name}-{protocol}"
        yield _job(spec, setting, out, rows, name, stages, (protocol_name(protocol, spec.second),))


def _untrained(spec: Spec, setting: Setting, out: Path, arm: Arm) -> Iterator[Job]:
    """The model as it is, in both prompt formats."""
    names = tuple(protocol_name(protocol, spec.second) for protocol in spec.protocols)
    for plain in (False, True):
        label = f"{arm.label}:plain" if plain else arm.label
        rows = _Rows(replace(arm, label=label), "", 0, "", None, {"seed": None})
        job = _job(spec, setting, out, rows, re.sub(r"[^\w.-]+", "_", label), (), names)
        yield replace(job, plain=plain)


def _job(
    spec: Spec, setting: Setting, out: Path, rows: _Rows, name: str, stages: tuple[Stage, ...],
    protocols: tuple[str, ...],
) -> Job:  # fmt: skip
    assert setting.model is not None, "a run has a model"
    scorer = setting.scorer or setting.model
    line = {
        "method": rows.arm.label, "scorer": rows.scorer,
        "scorer_params": float(load.architecture(scorer).params) if rows.scorer else None,
        "model": spec.sources.model, "model_params": float(load.architecture(setting.model).params),
        "fraction": 0.0, "rows": 0, "train_tokens": 0, "seed": rows.seed, "selection_flops": 0.0,
        "selection_seconds": 0.0, "pool": setting.pool.name, "budget": rows.budget, "job": name, **rows.line,
    }  # fmt: skip
    return Job(
        name=name, line=line, model=setting.model, stages=stages, protocols=protocols, tasks=spec.tasks,
        seed=rows.seed, cache=setting.store.root, out=out, keep_model=spec.keep_models, dtype=spec.dtype,
        away=setting.store.away,
    )  # fmt: skip
