"""One trained and evaluated model of a run: what a worker process does."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thresher.core import checksum, events
from thresher.core.away import Away
from thresher.core.cost import Receipt
from thresher.core.store import write_bytes
from thresher.errors import NonFinite
from thresher.evaluation.task import Task
from thresher.models import load
from thresher.scoring import score
from thresher.setting import joined
from thresher.stages import Stage
from thresher.training.origin import origin

RESULT, NO_SCORE = "result.json", "no_score"  # the file, and what stands in it where the model has none
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Train on one selection (or on nothing), and score.

    Attributes:
        name: a folder name, unlike any other job's.
        line: the columns of results.parquet that are known before training.
        model: resolved path.
        stages: what is trained on in turn; none scores the model as it is.
        protocols: the protocols whose tables the results belong in.
        plain: score in the bare prompt format: zero-shot's second form.
        away: of the store, where it has an address.
    """

    name: str
    line: dict[str, Any]
    model: str
    stages: tuple[Stage, ...]
    protocols: tuple[str, ...]
    tasks: tuple[Task, ...]
    seed: int
    cache: Path
    out: Path
    keep_model: bool = False
    plain: bool = False
    dtype: str = "auto"
    away: Away | None = None

    @property
    def folder(self) -> Path:
        """Where its model and its result are."""
        return self.out / "trained" / self.name

    def done(self) -> list[dict[str, Any]] | None:
        """The results of an earlier run, if it finished; a file that was damaged since is named and counts for none."""
        path = self.folder / RESULT
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if checksum.fits(found):
                return found["results"]
            fault = "its checksum is another"
        except (ValueError, KeyError, TypeError) as error:
            fault = str(error)
        log.warning("%s is damaged (%s): the model is trained and scored again", path, fault)
        path.unlink(missing_ok=True)
        return None


def work(job: Job) -> list[dict[str, Any]]:
    """Results of one job, a line a task; none where its training diverged. A finished job is not done again."""
    found = job.done()
    if found is not None:
        return found
    events.emit("job started", job=job.name)
    try:
        whole = _work(job)
    except NonFinite as error:
        whole = {"results": [], "receipts": [], NO_SCORE: str(error)}
    write_bytes(job.folder / RESULT, json.dumps(checksum.signed(whole), ensure_ascii=False).encode())
    if not job.keep_model:
        load.close_models()
        shutil.rmtree(job.folder / "model", ignore_errors=True)
    events.emit("job ended", job=job.name, results=whole["results"])
    return whole["results"]


def _work(job: Job) -> dict[str, Any]:
    model, trained = job.model, Receipt(stage="training")
    if job.stages:
        from thresher.training.sft import train  # loads the Trainer

        load.close_models()
        stages = [
            (stage.drawn(joined(stage.rows, job.cache, format=stage.format)), stage.recipe) for stage in job.stages
        ]
        model = str(job.folder / "model")
        made_of = origin(str(job.line["model"]), [stage.rows for stage in job.stages])
        trained = train(job.model, stages, seed=job.seed, out=Path(model), origin=made_of)
    results, receipts = [], [trained.to_dict()]
    for task in job.tasks:
        task = replace(task, format="plain") if job.plain else task
        outcome, receipt = score(model, task, cache=job.cache, dtype=job.dtype)
        results += [
            {
                **job.line,
                **{key: value for key, value in one.to_dict().items() if key != "n"},
                "training_flops": trained.flops,
                "total_flops": job.line["selection_flops"] + trained.flops,
                "training_seconds": trained.seconds,
            }
            for one in outcome.all()
        ]
        receipts.append({
            **receipt.to_dict(), "examples": outcome.examples, "values": outcome.values.tolist(),
            "notes": list(outcome.notes),
            "scores": [{**one.in_words(), "values": one.values.tolist()} for one in outcome.all()],
        })  # fmt: skip
    return {"results": results, "receipts": receipts}
