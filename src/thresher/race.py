"""A run as a race: the recipe's arms in rounds, losers stopped, everything charged to one budget."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from thresher import contaminated, methods
from thresher.compute.local import Mapper
from thresher.contenders import Lineup, in_flops
from thresher.core import events
from thresher.core.disk import alone
from thresher.core.store import Store, write_bytes
from thresher.core.suggest import unknown
from thresher.errors import RecipeError
from thresher.jobs import Say, jobs_of
from thresher.jobs import check as check_run
from thresher.planning.course import Cell, Outcome
from thresher.planning.finish import finish
from thresher.planning.racing import race as decide
from thresher.planning.results import higher_is_better
from thresher.run import LOCK, claim, leave
from thresher.run import finish as finish_jobs
from thresher.setting import Setting
from thresher.spec import Spec
from thresher.unscored import refuse, unscored

log = logging.getLogger(__name__)

def race(
    spec: Spec, out: Path, *, store: Store, budget: str, by: Sequence[str] = (), keep: float = 0.5,
    command: str = "", say: Say = lambda line: None, mapper: Mapper | None = None,
) -> Path:  # fmt: skip
    """Race the recipe's arms; leaves what a run leaves, and race.json.

    A race that was interrupted goes on: what was trained is read, and the same is decided from it. A larger budget
    goes on from there as well.

    Args:
        spec: its methods and scorers are the contenders, its budgets the sizes, its seeds are given out one a round.
        out: the run's folder.
        store: where measurements rest.
        budget: for the whole race, in FLOPs, hours or dollars.
        by: `TASK` or `TASK:METRIC` that decides, several of one metric by their mean; the first task unless said.
        keep: share of the contenders that goes on to the next size.
        command: for run.json.
        say: told what goes on.
        mapper: how shards are measured.

    Raises:
        RecipeError: arms that cannot be raced, or fewer than two.
        BudgetError: no budget for the whole race, or one below the first round's price.
        StoreError: `out` belongs to another run.
        NonFinite: a training diverged, so nobody can say who goes on.
    """
    setting = Setting.open(spec.sources, store=store, recipe=spec.recipe)
    check_run(spec, setting)
    judged = _judged(spec, by)
    lineup = Lineup(spec, setting)
    lineup.check()
    field_ = _Field(lineup, out, judged, say, mapper)
    total = in_flops(budget, setting)
    claim(out, spec, setting, command, race={"by": list(judged), "keep": keep})
    with alone(out / LOCK), events.kept_in(out, "race"):
        contaminated.leave(spec, setting, out, say)  # before anything is trained
        field_.untrained()
        course = decide(
            lineup.contenders(), spec.seeds, total, field_.run, sizes=lineup.sizes,
            higher=higher_is_better(judged[0].partition(":")[2]), keep=keep, whole=lineup.whole(),
        )  # fmt: skip
        said = {"by": list(judged), "asked": budget, **finish(course)}
        write_bytes(out / "race.json", json.dumps(said, indent=1, ensure_ascii=False).encode())
        leave(field_.lines, out)
        contaminated.leave(spec, setting, out, log.debug)  # again, with what was chosen
        say(said["sentence"])
    return out


def _judged(spec: Spec, by: Sequence[str]) -> tuple[str, ...]:
    """`TASK:METRIC` of every task that decides.

    Raises:
        RecipeError: no such task, or tasks of different metrics.
    """
    known = [f"{task.task}:{task.metric}" for task in spec.tasks]
    found: list[str] = []
    for name in by or known[:1]:
        fitting = [one for one in known if name in (one, one.partition(":")[0])]
        if not fitting:
            raise RecipeError("race: " + unknown("task", name, known))
        found += fitting[:1]
    if len({one.partition(":")[2] for one in found}) > 1:
        raise RecipeError(f"race: {', '.join(found)} are different metrics, which have no mean. Name one with --by.")
    return tuple(dict.fromkeys(found))


@dataclass
class _Field:
    """The contenders, trained when they are told to."""

    lineup: Lineup
    out: Path
    judged: tuple[str, ...]
    say: Say
    mapper: Mapper | None
    lines: list[dict[str, Any]] = field(default_factory=list)
    charged: dict[str, float] = field(default_factory=dict)

    def untrained(self) -> None:
        """Score the model as it is, where the recipe asks for it: nothing is trained, so nothing is charged."""
        arms = tuple(arm for arm in self.lineup.spec.arms if methods.get(arm.method).train == "none")
        if arms:
            spec = replace(self.lineup.spec, arms=arms)
            jobs = jobs_of(spec, self.lineup.setting, self.out, self.say, self.mapper)
            self.lines += finish_jobs(jobs, spec, self.say, self.mapper)

    def run(self, cells: Sequence[Cell]) -> list[Outcome]:
        """Choose, train and score one round's cells; all of one size, or all under one seed."""
        sizes, budgets = self.lineup.sizes, self.lineup.spec.budgets
        self.say(f"round of {len(cells)}: {', '.join(f'{one.contender} at {sizes[one.rung]}' for one in cells)}")
        jobs, owners = [], []
        for cell in cells:
            spec = replace(
                self.lineup.spec, arms=(self.lineup.arms[cell.contender],), seeds=(cell.seed,),
                budgets=budgets if cell.rung == len(budgets) else (sizes[cell.rung],),
            )  # fmt: skip
            (job,) = jobs_of(spec, self.lineup.setting, self.out, self.say, self.mapper)
            jobs.append(job)
            owners.append(cell)
        lines = finish_jobs(jobs, self.lineup.spec, self.say, self.mapper)
        refuse(unscored(self.out), self.out)
        self.lines += lines
        return [
            self._outcome(cell, [line for line in lines if line["job"] == job.name])
            for cell, job in zip(owners, jobs, strict=True)
        ]

    def _outcome(self, cell: Cell, lines: list[dict[str, Any]]) -> Outcome:
        scores = [line["score"] for line in lines if f"{line['task']}:{line['metric']}" in self.judged]
        training = float(lines[0]["training_flops"])
        return Outcome(float(np.mean(scores)), training, self._newly_chosen(cell.contender, lines[0]))

    def _newly_chosen(self, name: str, line: dict[str, Any]) -> float:
        """What choosing took that this contender has not been charged yet; a measurement of others' it pays in full."""
        path = self.out / "selections" / line["job"] / "card.json"
        measured = json.loads(path.read_text(encoding="utf-8"))["cost"]["measured"]
        shared = float(measured["shared_flops"])
        fresh = float(measured["selection_flops"]) - shared
        before = self.charged.get(name, 0.0)
        new = fresh + max(0.0, shared - before)
        self.charged[name] = before + new
        return new
