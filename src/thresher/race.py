"""A run as a race: the recipe's arms in rounds, losers stopped, everything charged to one budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from thresher import building, methods
from thresher.compute import bill
from thresher.compute.local import Mapper
from thresher.core.budget import Budget
from thresher.core.cost import Cost
from thresher.core.store import Store, write_bytes
from thresher.core.suggest import unknown
from thresher.errors import BudgetError, RecipeError
from thresher.jobs import Say, jobs_of
from thresher.jobs import check as check_run
from thresher.models import load
from thresher.planning.finish import finish
from thresher.planning.racing import Cell, Contender, Outcome
from thresher.planning.racing import race as decide
from thresher.planning.results import EQUAL_STEPS, higher_is_better
from thresher.run import claim, leave
from thresher.run import finish as finish_jobs
from thresher.setting import Setting, joined
from thresher.spec import Arm, Spec
from thresher.training.recipe import total_flops

CONTROL = "random"


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
    """
    setting = Setting.open(spec.sources, store=store, recipe=spec.recipe)
    check_run(spec, setting)
    judged = _judged(spec, by)
    field_ = _Field(spec, setting, out, judged, say, mapper)
    field_.check()
    total = _in_flops(budget, setting)
    claim(out, spec, setting, command, race={"by": list(judged), "keep": keep})
    field_.untrained()
    course = decide(
        field_.contenders(), spec.seeds, total, field_.run, sizes=field_.sizes,
        higher=higher_is_better(judged[0].partition(":")[2]), keep=keep, whole=field_.whole(),
    )  # fmt: skip
    said = {"by": list(judged), "asked": budget, **finish(course)}
    write_bytes(out / "race.json", json.dumps(said, indent=1, ensure_ascii=False).encode())
    leave(field_.lines, out)
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


def _in_flops(text: str, setting: Setting) -> float:
    """The race's budget in FLOPs.

    Raises:
        BudgetError: it is in rows or tokens.
    """
    budget = Budget.parse(text, len(setting.pool))
    if not budget.pays_for_selection:
        raise BudgetError(
            f"race: {text} is a size, and a race's budget pays for choosing and training. Write 2e17 flops, "
            "3 gpu-hours or $20."
        )
    one = setting.cost_model(budget.unit).in_unit(Cost(flops=1e12), budget.unit)
    return budget.amount / one * 1e12


@dataclass
class _Field:
    """The contenders of a recipe: priced before, trained when they are told to."""

    spec: Spec
    setting: Setting
    out: Path
    judged: tuple[str, ...]
    say: Say
    mapper: Mapper | None
    lines: list[dict[str, Any]] = field(default_factory=list)
    charged: dict[str, float] = field(default_factory=dict)

    @cached_property
    def sizes(self) -> tuple[str, ...]:
        """The recipe's budgets by what they cost, then the whole pool."""
        return (*sorted(self.spec.budgets, key=lambda text: self._training(text, 0.0)), "the whole pool")

    @property
    def arms(self) -> dict[str, Arm]:
        """Every arm that trains, by its contender's name."""
        return {_name(arm): arm for arm in self.spec.arms if methods.get(arm.method).train in ("subset", "all")}

    def check(self) -> None:
        """Whether these arms can be raced.

        Raises:
            RecipeError: arms whose price is not their size's, several protocols, two arms of one name.
        """
        if len(self.spec.protocols) > 1 or (EQUAL_STEPS in self.spec.protocols and self.spec.steps is None):
            raise RecipeError(
                "race: arms are compared under one protocol: equal-epochs, or equal-steps with `steps` given."
            )
        for arm in self.spec.arms:
            train = methods.get(arm.method).train
            if arm.matching is not None or train in ("target", "labelled"):
                why = "matches another arm" if arm.matching is not None else f"trains on the {train} rows at one size"
                raise RecipeError(f"race: {arm.label} {why}, so it cannot be raced. Use `thresher run` without --race.")
        names = [_name(arm) for arm in self.spec.arms]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise RecipeError(f"race: two arms are called {twice!r}. Give each a `label:` of its own.")

    def contenders(self) -> list[Contender]:
        """Every arm that trains, with its prices.

        Raises:
            BudgetError: choosing with one of them costs more than every size.
        """
        return [self._contender(name, arm) for name, arm in self.arms.items()]

    def _contender(self, name: str, arm: Arm) -> Contender:
        if methods.get(arm.method).train == "all":
            return Contender(name=name, training={len(self.spec.budgets): self.whole()}, control=True)
        setting = self.setting.with_scorer(arm.scorer)
        signals, _ = building.build(
            methods.get(arm.method), model=setting.model, scorer=setting.scorer, encoder=setting.encoder,
            overrides={key: value for key, value in arm.overrides.items() if not key.startswith("domains.")},
        )  # fmt: skip
        selection = bill.price_of(signals, setting.pool, setting.target).flops
        prices = {
            rung: self._training(text, selection)
            for rung, text in enumerate(self.sizes[:-1])
            if not self._too_small(text, selection)
        }
        if not prices:
            raise BudgetError(
                f"race: choosing with {name} costs {selection:.3g} FLOPs, more than each of "
                f"{', '.join(self.spec.budgets)}. Leave it out, or name larger budgets."
            )
        return Contender(name=name, training=prices, selection=selection, control=arm.label == CONTROL)

    def _too_small(self, text: str, selection: float) -> bool:
        """Whether a budget that pays for choosing is spent before anything is trained."""
        pays = Budget.parse(text, len(self.setting.pool)).pays_for_selection
        return pays and _in_flops(text, self.setting) <= selection

    def _training(self, text: str, selection: float) -> float:
        """The price of one training run at a size, on rows of the pool's mean length."""
        budget = Budget.parse(text, len(self.setting.pool))
        lengths = self.setting.lengths()
        assert lengths is not None, "a run has a model"
        if budget.pays_for_selection:
            return max(0.0, _in_flops(text, self.setting) - selection) + self._second
        share = budget.amount / (len(lengths) if budget.unit == "examples" else float(lengths.sum()))
        rows = max(1, round(share * len(lengths)))
        return self._price(np.full(rows, round(float(lengths.mean()))), share * len(lengths) / rows) + self._second

    def whole(self) -> float:
        """The price of training on the whole pool."""
        lengths = self.setting.lengths()
        assert lengths is not None, "a run has a model"
        return self._price(lengths) + self._second

    def _price(self, lengths: np.ndarray, times: float = 1.0) -> float:
        assert self.setting.model is not None, "a run has a model"
        recipe = self.spec.recipe.with_steps(self.spec.steps if EQUAL_STEPS in self.spec.protocols else None)
        return times * total_flops(recipe, load.architecture(self.setting.model), lengths)

    @cached_property
    def _second(self) -> float:
        """The price of the second stage, which every arm goes through."""
        stage, model = self.spec.second, self.setting.model
        if stage is None or model is None:
            return 0.0
        rows = stage.drawn(joined(stage.rows, self.setting.store.root, format=stage.format))
        lengths = load.encoded(model, rows, stage.recipe.max_tokens).lengths()
        return total_flops(stage.recipe, load.architecture(model), lengths)

    def untrained(self) -> None:
        """Score the model as it is, where the recipe asks for it: nothing is trained, so nothing is charged."""
        arms = tuple(arm for arm in self.spec.arms if methods.get(arm.method).train == "none")
        if arms:
            spec = replace(self.spec, arms=arms)
            self.lines += finish_jobs(jobs_of(spec, self.setting, self.out, self.say, self.mapper), spec, self.say)

    def run(self, cells: Sequence[Cell]) -> list[Outcome]:
        """Choose, train and score one round's cells; all of one size, or all under one seed."""
        self.say(f"round of {len(cells)}: {', '.join(f'{one.contender} at {self.sizes[one.rung]}' for one in cells)}")
        jobs, owners = [], []
        for cell in cells:
            spec = replace(
                self.spec, arms=(self.arms[cell.contender],), seeds=(cell.seed,),
                budgets=self.spec.budgets if cell.rung == len(self.spec.budgets) else (self.sizes[cell.rung],),
            )  # fmt: skip
            (job,) = jobs_of(spec, self.setting, self.out, self.say, self.mapper)
            jobs.append(job)
            owners.append(cell)
        lines = finish_jobs(jobs, self.spec, self.say)
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


def _name(arm: Arm) -> str:
    return f"{arm.label} ({arm.scorer})" if arm.scorer else arm.label
