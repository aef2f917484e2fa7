"""Whole jobs of a run on a cluster; over an address, on machines that see neither the store nor the run's folder.

What a job reads (files of rows, and a model that was made in the store) is left at the address, and what it writes into
its own folder comes back by it. Any other model is a folder under the same path there, as it is for parts.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from thresher.compute.local import Placer
from thresher.core.away import Away
from thresher.core.disk import writing
from thresher.errors import StoreError
from thresher.job import Job, work
from thresher.models.folder import file_hash


def placed(mapper: Placer, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[dict[str, Any]]]]:
    """Each job with its results, as it is done.

    Raises:
        StoreError: the address cannot be reached, or what was left there is gone.
    """
    if jobs[0].away is None:
        yield from mapper.each(work, jobs)
        return
    for errand, _ in mapper.each(_done_there, map(_errand, jobs)):
        yield errand.job, _brought_back(errand)


@dataclass(frozen=True)
class _Errand:
    """A job, and the names at the address of what it reads (by its path here) and of the folder it leaves."""

    job: Job
    away: Away
    reads: Mapping[str, str]
    leaves: str

    @property
    def name(self) -> str:
        """The job's."""
        return self.job.name


def _errand(job: Job) -> _Errand:
    assert job.away is not None, "asked before"
    reads = _reads(job)
    for path, name in reads.items():
        job.away.leave(Path(path).expanduser(), name)
    return _Errand(job, job.away, reads, f"trained/{uuid.uuid4().hex}")


def _reads(job: Job) -> dict[str, str]:
    """What it opens that another machine need not have: a model of the store's by its place there, and files of rows.

    Files go by their content and by what they are called, which names a pool.
    """
    names = {}
    if Path(job.model).is_relative_to(job.cache):
        names[job.model] = str(Path(job.model).relative_to(job.cache))
    trained = [path for stage in job.stages for path in stage.rows]
    tested = [path for task in job.tasks for path in (task.data, task.shots_from) if path is not None]
    for source in (*trained, *tested):
        path = Path(source).expanduser()
        if path.is_file():
            names[source] = f"rows/{file_hash(path)}/{path.name}"
    return names


def _done_there(errand: _Errand) -> None:
    """On the other machine: fetch, work, leave; nothing stays behind.

    Raises:
        StoreError: what was left at the address is there no more.
    """
    with TemporaryDirectory(prefix="thresher-", ignore_cleanup_errors=True) as folder:
        here = {path: Path(folder, name) for path, name in errand.reads.items()}
        for path, name in errand.reads.items():
            _fetch(errand, here[path], name)
        job = _moved(errand.job, {path: str(found) for path, found in here.items()}, Path(folder))
        work(job)
        _named_as_before(job.folder / "model", here)
        errand.away.leave(job.folder, errand.leaves)


def _moved(job: Job, paths: Mapping[str, str], root: Path) -> Job:
    """The same job, with what it reads under other paths, in a folder of its own."""

    def at(path: str) -> str:
        return paths.get(path, path)

    stages = tuple(replace(one, rows=tuple(map(at, one.rows))) for one in job.stages)
    tasks = tuple(
        replace(one, data=at(one.data), shots_from=None if one.shots_from is None else at(one.shots_from))
        for one in job.tasks
    )
    return replace(job, model=at(job.model), stages=stages, tasks=tasks, cache=root, out=root)


def _named_as_before(model: Path, here: Mapping[str, Path]) -> None:
    """A model that is kept says what it was made of: by paths of the run, not of this machine."""
    for file in (*model.glob("*.json"), *model.glob("*.md")):
        said = text = file.read_text(encoding="utf-8")
        for path, found in here.items():
            text = text.replace(json.dumps(str(found))[1:-1], json.dumps(path)[1:-1])
        if text != said:
            file.write_text(text, encoding="utf-8")


def _brought_back(errand: _Errand) -> list[dict[str, Any]]:
    """Put the folder that a job left into the run's, whole or not at all; its results."""
    folder = errand.job.folder
    part = folder.with_name(f"{folder.name}.part")
    with writing(folder):
        shutil.rmtree(part, ignore_errors=True)
        _fetch(errand, part, errand.leaves)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    lines = errand.job.done()
    assert lines is not None, "it was written whole"
    return lines


def _fetch(errand: _Errand, path: Path, name: str) -> None:
    if not errand.away.fetch(path, name):
        raise StoreError(f"{name} was left in {errand.away.url} for {errand.name} and is not there any more.")
