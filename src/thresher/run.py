"""A whole run: choose for every method, budget and seed, train, evaluate, compare."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import thresher
from thresher import contaminated, paired
from thresher.compute.local import Mapper, Placer
from thresher.compute.process import settle
from thresher.core import events
from thresher.core.disk import alone
from thresher.core.store import Store, write_bytes
from thresher.errors import StoreError, ThresherError
from thresher.job import Job, work
from thresher.jobs import Say, jobs_of
from thresher.models import load
from thresher.models.folder import file_hash
from thresher.placed import placed
from thresher.planning import results as tables
from thresher.planning.frontier import frontier
from thresher.setting import Setting
from thresher.spec import Spec
from thresher.unscored import refuse, unscored

LOCK = ".lock"
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
    """Do what is not yet done, and leave its results, frontier.json, contamination.json and run.json in `out`.

    What happens is written to events.jsonl there while it happens.

    Raises:
        StoreError: `out` belongs to another run.
        BudgetError: a budget that a method cannot keep.
        NonFinite: a training diverged; the other models are trained, scored and compared before that is said.
    """
    setting = Setting.open(spec.sources, store=store, recipe=spec.recipe)
    claim(out, spec, setting, command)
    with alone(out / LOCK), events.kept_in(out, "run"):
        jobs = jobs_of(spec, setting, out, say, mapper)
        contaminated.leave(spec, setting, out, say)
        lines = finish(jobs, spec, say, mapper)
        if lines:
            leave(lines, out)
            paired.leave(out)
        refuse(unscored(out), out)
    return out


def finish(jobs: list[Job], spec: Spec, say: Say, mapper: Mapper | None = None) -> list[dict[str, Any]]:
    """Lines of the results table of some jobs, in their order; those of an earlier run are read.

    A mapper that places whole jobs (Ray) is given them; else they run in processes of this machine.
    """
    rows: list[dict[str, Any]] = []
    for number, (job, lines) in enumerate(_results(jobs, spec, mapper), start=1):
        rows += [{**line, "protocol": protocol} for protocol in job.protocols for line in lines]
        shown = ", ".join(f"{line['task']} {line['metric']} {line['score']:.4f}" for line in lines)
        say(f"{number}/{len(jobs)} {job.name}: {shown or 'no score, its training diverged'}")
    order = {job.name: place for place, job in enumerate(jobs)}
    return sorted(rows, key=lambda line: order[line["job"]])  # stable


def leave(rows: list[dict[str, Any]], out: Path) -> None:
    """results.parquet, results.csv and frontier.json."""
    known = (*tables.COLUMNS, *tables.EXTRA)
    path = tables.write([{k: v for k, v in line.items() if k in known} for line in rows], out)
    write_bytes(out / "frontier.json", json.dumps(frontier(tables.read(path)), indent=1, ensure_ascii=False).encode())


def claim(out: Path, spec: Spec, setting: Setting, command: str, **more: object) -> None:
    """run.json: what this folder is (`more` says what kind of run); a folder of another run is refused.

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
        "files": _files(spec),
        **more,
    }
    path = out / "run.json"
    if path.exists():
        old = _told(path)
        differing = [key for key in {**about, "race": None} if old.get(key) != about.get(key)]
        if differing:
            raise StoreError(
                f"{out} is another run's: its {', '.join(differing)} differ{_which(old, about)}. Name another folder "
                "with --out."
            )
        return
    begun = f".{path.name}."  # and was killed before it was there
    if out.exists() and any(not one.name.startswith(begun) for one in out.iterdir()):
        raise StoreError(f"{out} is not empty and not a run. Name another folder with --out.")
    write_bytes(path, json.dumps({**about, "command": command}, indent=1, ensure_ascii=False).encode())


def _files(spec: Spec) -> dict[str, str]:
    """Hashes of the files that models are tested on, shown examples from, and trained on after what is chosen."""
    named = [path for task in spec.tasks for path in (task.data, task.shots_from) if path is not None]
    named += spec.second.rows if spec.second is not None else ()
    return {path: file_hash(Path(path).expanduser()) for path in named if Path(path).expanduser().is_file()}


def _which(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Files of one name and other content."""
    before, now = old.get("files", {}), new["files"]
    changed = [path for path in now if path in before and before[path] != now[path]]
    return f" ({', '.join(changed)} changed)" if changed else ""


def _told(path: Path) -> dict[str, Any]:
    """What run.json says.

    Raises:
        StoreError: it cannot be read any more.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} is damaged ({error}): nobody can tell whose run this is. Name another folder with --out; what was "
            "measured is in the store."
        ) from None
    if not isinstance(told, dict):
        raise StoreError(f"{path} does not say whose run this is. Name another folder with --out.")
    return told


def _results(jobs: list[Job], spec: Spec, mapper: Mapper | None) -> Iterator[tuple[Job, list[dict[str, Any]]]]:
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
    if isinstance(mapper, Placer) and left:
        yield from placed(mapper, left)
        return
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
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(threads,)
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
    except BaseException:
        for worker in multiprocessing.active_children():  # not when their models are trained: now
            worker.terminate()
        raise
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _begin(threads: int) -> None:
    """A worker is deaf to Ctrl-C: who started it hears it, and ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settle(threads)


def batched(jobs: Sequence[Job], size: int) -> Iterator[Sequence[Job]]:
    """Jobs, some at a time."""
    for start in range(0, len(jobs), size):
        yield jobs[start : start + size]
