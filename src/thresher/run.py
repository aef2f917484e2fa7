"""A whole run: choose for every method, budget and seed, train, evaluate, compare."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import thresher
from thresher import choosing, methods
from thresher.compute.local import Mapper
from thresher.compute.process import settle
from thresher.core.store import Store, write_bytes
from thresher.errors import StoreError, ThresherError
from thresher.job import Job, work
from thresher.models import load
from thresher.planning import results as tables
from thresher.planning.frontier import frontier
from thresher.setting import Setting
from thresher.spec import Arm, Spec

Say = Callable[[str], None]
JOBS_PER_PROCESS = 4  # kept memory fragments: 7 GB after six trainings of a 135M model, 4 GB after one


def run(
    spec: Spec,
    out: Path,
    *,
    store: Store,
    command: str = "",
    say: Say = lambda line: None,
    mapper: Mapper | None = None,
) -> Path:
    """Do what is not yet done, and leave results.parquet, results.csv, frontier.json and run.json in `out`.

    Raises:
        StoreError: `out` belongs to another run.
        BudgetError: a budget that a method cannot keep.
    """
    setting = Setting.open(spec.sources, store=store, recipe=spec.recipe)
    _claim(out, spec, setting, command)
    jobs = list(_jobs(spec, setting, out, say, mapper))
    rows: list[dict[str, Any]] = []
    for number, (job, lines) in enumerate(_results(jobs, spec), start=1):
        rows += lines
        shown = ", ".join(f"{line['task']} {line['metric']} {line['score']:.4f}" for line in lines)
        say(f"{number}/{len(jobs)} {job.name}: {shown}")
    order = {job.name: place for place, job in enumerate(jobs)}
    rows.sort(key=lambda line: order[line["job"]])
    path = tables.write(
        [{k: v for k, v in line.items() if k in (*tables.COLUMNS, *tables.EXTRA)} for line in rows], out
    )
    write_bytes(out / "frontier.json", json.dumps(frontier(tables.read(path)), indent=1, ensure_ascii=False).encode())
    return out


def _claim(out: Path, spec: Spec, setting: Setting, command: str) -> None:
    """run.json: what this folder is; a folder of another run is refused.

    Raises:
        StoreError: the folder is another run's, or holds something else.
    """
    model = setting.model
    assert model is not None, "a run has a model"
    about = {
        "thresher": thresher.__version__,
        "spec": json.loads(json.dumps(spec.to_dict())),
        "pool": {"name": setting.pool.name, "rows": len(setting.pool), "fingerprint": setting.pool.fingerprint},
        "target": None
        if setting.target is None
        else {"name": setting.target.name, "fingerprint": setting.target.fingerprint},
        "model": {"name": spec.sources.model, "sha256": load.weights_hash(model)},
    }
    path = out / "run.json"
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        differing = [key for key in about if old.get(key) != about[key]]
        if differing:
            raise StoreError(
                f"{out} is another run's: its {', '.join(differing)} differ. Name another folder with --out."
            )
        return
    if out.exists() and any(out.iterdir()):
        raise StoreError(f"{out} is not empty and not a run. Name another folder with --out.")
    write_bytes(path, json.dumps({**about, "command": command}, indent=1, ensure_ascii=False).encode())


def _jobs(spec: Spec, setting: Setting, out: Path, say: Say, mapper: Mapper | None) -> Iterator[Job]:
    """Every model to train, its rows chosen; choosing is done here, before any training."""
    for arm in spec.arms:
        method = methods.get(arm.method)
        if method.train == "none":
            for plain in (False, True):
                yield _job(spec, setting, out, f"{arm.label}:plain" if plain else arm.label, plain=plain)
            continue
        for budget in spec.budgets if method.train == "subset" else ("100%",):
            for seed in spec.seeds:
                yield _chosen(spec, setting, out, arm, budget, seed, say, mapper)


def _chosen(
    spec: Spec, setting: Setting, out: Path, arm: Arm, budget: str, seed: int, say: Say, mapper: Mapper | None
) -> Job:
    name = re.sub(r"[^\w.%$-]+", "_", f"{arm.label}-{budget}-{seed}")
    folder = out / "selections" / name
    if not (folder / "card.json").exists():
        choice = choosing.choose(setting, arm.method, budget, seed=seed, overrides=arm.overrides, mapper=mapper)
        choosing.write(choice, folder, command=f"thresher run: {arm.label}, {budget}, seed {seed}")
        say(f"chose {len(choice.index)} rows: {name}")
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    line = {
        "rows": card["chosen"]["rows"],
        "fraction": card["chosen"]["rows"] / card["pool"]["rows"],
        "train_tokens": card["chosen"]["tokens"],
        "selection_flops": card["cost"]["measured"]["selection_flops"],
        "selection_seconds": card["cost"]["measured"]["selection_seconds"],
        "budget": budget,
    }
    scored = any(describe["fields"].get("model") for describe in card["signals"])
    scorer = (
        setting.sources.scorer or setting.sources.model if scored and "scorer" in methods.get(arm.method).needs else ""
    )
    return _job(
        spec, setting, out, arm.label, name=name, seed=seed, selected=folder / "selected.jsonl", scorer=scorer, **line
    )


def _job(
    spec: Spec, setting: Setting, out: Path, label: str, *, name: str | None = None, seed: int | None = None,
    selected: Path | None = None, scorer: str | None = "", plain: bool = False, **line: Any,  # noqa: ANN401
) -> Job:  # fmt: skip
    assert setting.model is not None, "a run has a model"
    name = name or re.sub(r"[^\w.-]+", "_", label)
    scorer_path = setting.scorer or setting.model
    known = {
        "method": label, "scorer": scorer or "",
        "scorer_params": float(load.architecture(scorer_path).params) if scorer else None,
        "model": spec.sources.model, "model_params": float(load.architecture(setting.model).params),
        "fraction": 0.0, "rows": 0, "train_tokens": 0, "seed": seed, "selection_flops": 0.0, "selection_seconds": 0.0,
        "pool": setting.pool.name, "budget": "", "job": name,
    }  # fmt: skip
    return Job(
        name=name, line={**known, **line}, model=setting.model, rows=selected, format=setting.pool.format,
        recipe=spec.recipe, tasks=spec.tasks, seed=seed or 0, cache=setting.store.root, out=out,
        keep_model=spec.keep_models, plain=plain,
        dtype=spec.dtype,
    )  # fmt: skip


def _results(jobs: list[Job], spec: Spec) -> Iterator[tuple[Job, list[dict[str, Any]]]]:
    """Each job as it finishes; those of an earlier run first.

    Raises:
        ThresherError: a worker was killed.
    """
    left = []
    for job in jobs:
        lines = job.done()
        if lines is None:
            left.append(job)
        else:
            yield job, lines
    workers = min(spec.workers or os.cpu_count() or 1, len(left))
    if workers <= 1:
        for job in left:
            yield job, work(job)
        return
    threads = spec.threads or max(1, (os.cpu_count() or 1) // workers)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)  # before the workers load torch
    for some in batched(left, workers * JOBS_PER_PROCESS):
        yield from _side_by_side(some, workers, threads)


def _side_by_side(jobs: Sequence[Job], workers: int, threads: int) -> Iterator[tuple[Job, list[dict[str, Any]]]]:
    """Some jobs in new processes, which end with them (the executor's own recycling can hang: LOG.md).

    Raises:
        ThresherError: a worker was killed.
    """
    executor = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=settle, initargs=(threads,)
    )
    try:
        futures = {executor.submit(work, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise ThresherError(
            "a worker was killed (out of memory?). What is finished is kept: run the same command again, perhaps with "
            "fewer workers."
        ) from error
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def batched(jobs: Sequence[Job], size: int) -> Iterator[Sequence[Job]]:
    """Jobs, some at a time."""
    for start in range(0, len(jobs), size):
        yield jobs[start : start + size]
