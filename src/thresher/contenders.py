"""The arms of a recipe as contenders of a race: which can be raced, at which sizes, and what each run would cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from thresher import building, methods
from thresher.compute import bill
from thresher.core.budget import Budget
from thresher.core.cost import Cost
from thresher.errors import BudgetError, RecipeError
from thresher.models import load
from thresher.planning.course import Contender
from thresher.planning.results import EQUAL_STEPS
from thresher.setting import Setting, joined
from thresher.spec import Arm, Spec
from thresher.training.recipe import total_flops

CONTROL = "random"


def in_flops(text: str, setting: Setting) -> float:
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


def name_of(arm: Arm) -> str:
    """A contender's name: the arm's label, and its scorer where it has one of its own."""
    return f"{arm.label} ({arm.scorer})" if arm.scorer else arm.label


@dataclass
class Lineup:
    """The contenders of a recipe, priced before anything runs."""

    spec: Spec
    setting: Setting

    @cached_property
    def sizes(self) -> tuple[str, ...]:
        """The recipe's budgets by what they cost, then the whole pool."""
        return (*sorted(self.spec.budgets, key=lambda text: self._training(text, 0.0)), "the whole pool")

    @property
    def arms(self) -> dict[str, Arm]:
        """Every arm that trains, by its contender's name."""
        return {name_of(arm): arm for arm in self.spec.arms if methods.get(arm.method).train in ("subset", "all")}

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
        names = [name_of(arm) for arm in self.spec.arms]
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
        return pays and in_flops(text, self.setting) <= selection

    def _training(self, text: str, selection: float) -> float:
        """The price of one training run at a size, on rows of the pool's mean length."""
        budget = Budget.parse(text, len(self.setting.pool))
        lengths = self.setting.lengths()
        assert lengths is not None, "a run has a model"
        if budget.pays_for_selection:
            return max(0.0, in_flops(text, self.setting) - selection) + self._second
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
