"""Setting: pool, target, models and prices, opened once, for every choice that is made among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from thresher import building, methods
from thresher.compute import bill, hardware
from thresher.compute.cost_model import CostModel
from thresher.core.budget import Budget
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.core.suggest import unknown
from thresher.data.check import rows_also_in
from thresher.data.pack import Border, pack
from thresher.data.read import load_pool
from thresher.errors import BudgetError, PoolError, ThresherError
from thresher.methods import Method
from thresher.models import load
from thresher.pipeline import Prices
from thresher.training.recipe import Recipe, train_flops


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where everything comes from, in the user's words; enough to open the same setting again."""

    pool: str
    target: tuple[str, ...] = ()
    model: str | None = None
    scorer: str | None = None
    encoder: str | None = None
    format: str | None = None
    group: str | None = None
    only: tuple[str, ...] = ()  # groups that are kept; none means every row
    pack: int | None = None  # tokens of the encoder (else the model) that plain text is cut to, the target's too
    pack_at: Border = "sentence"  # where it is cut
    skip_bad: bool = False
    keep_target_rows: bool = False
    hardware: str | None = None
    usd_per_hour: float | None = None
    trust_remote_code: bool = False
    model_seed: int = 0  # of random starts


@dataclass(frozen=True)
class Setting:
    """Opened sources."""

    sources: Sources
    store: Store
    pool: Pool
    target: Pool | None
    model: str | None  # resolved paths
    scorer: str | None
    encoder: str | None
    recipe: Recipe
    also_in_target: tuple[int, ...] = ()

    @classmethod
    def open(cls, sources: Sources, *, store: Store, recipe: Recipe | None = None) -> Setting:
        """Read pool and target, find or make the models.

        Raises:
            PoolError: a pool or target that cannot be used.
            ModelError: a model that is not there.
            ThresherError: every row of the pool also stands in the target.
            StoreError: the store has an address that cannot be reached.
        """
        if store.away is not None:
            store.away.reach()
        pool = load_pool(
            sources.pool, cache=store.root, format=sources.format, group=sources.group, skip_bad=sources.skip_bad
        )
        pool = of_groups(pool, sources.only) if sources.only else pool
        target = open_target(sources.target, store.root, skip_bad=sources.skip_bad)
        also = rows_also_in(pool, target)[0] if target is not None else np.zeros(0, dtype=np.int64)
        if target is not None and len(also) == len(pool):
            raise ThresherError(f"every row of {pool.name} also stands in the target: there is nothing to choose from.")
        resolved = [
            None if name is None else load.resolve(
                name, pool=pool, cache=store.root, seed=sources.model_seed, trust_remote_code=sources.trust_remote_code
            )
            for name in (sources.model, sources.scorer, sources.encoder)
        ]  # fmt: skip
        left_out = () if sources.keep_target_rows else tuple(int(i) for i in also)
        if sources.pack is not None:
            pool = _noted(pool.without(left_out), len(left_out)) if left_out else pool
            tokenizer = resolved[2] or resolved[0] or resolved[1]
            pool = _packed(pool, tokenizer, sources, store.root)
            target = None if target is None else _packed(target, tokenizer, sources, store.root)
            left_out = ()
        return cls(sources, store, pool, target, *resolved, recipe or Recipe(), left_out)

    @cached_property
    def excluded(self) -> dict[int, str]:
        """Rows that must not be chosen, whatever the method, with the reason in words."""
        reasons = dict.fromkeys(self.also_in_target, "also stands in the target")
        if self.model is not None:
            empty = np.flatnonzero(self.encoded.answer_tokens() == 0)
            for row in empty:
                reasons.setdefault(int(row), f"no trainable token within {self.recipe.max_tokens} tokens")
        return reasons

    @property
    def encoded(self) -> load.Encoded | load.Counted:
        """How many tokens the pool's rows have under the trained model."""
        assert self.model is not None, "tokens are those of the trained model"
        return load.counted(self.model, self.pool, self.recipe.max_tokens)

    def with_scorer(self, name: str | None) -> Setting:
        """The same setting with another model that reads the pool; None leaves it as it is."""
        if name is None or name == self.sources.scorer:
            return self
        sources = replace(self.sources, scorer=name)
        path = load.resolve(
            name, pool=self.pool, cache=self.store.root, seed=sources.model_seed,
            trust_remote_code=sources.trust_remote_code,
        )  # fmt: skip
        return replace(self, sources=sources, scorer=path)

    def lengths(self) -> np.ndarray | None:
        """(n,) tokens of each row under the trained model; None without one."""
        return None if self.model is None else self.encoded.lengths()

    def cost_model(self, unit: str) -> CostModel:
        """How FLOPs become hours and dollars; only those units look at the hardware.

        Raises:
            BudgetError: dollars on hardware without a price.
        """
        if unit not in ("gpu_hours", "usd"):
            return CostModel(hardware.Hardware("unnamed", 1.0, 1.0, 0.0, 0.0, ""))
        named = self.sources.hardware
        model = CostModel(hardware.get(named) if named else hardware.detect())
        if self.sources.usd_per_hour is not None:
            model = model.priced(self.sources.usd_per_hour)
        if unit == "usd" and not model.hardware.usd_per_hour > 0:
            raise BudgetError(f"{model.hardware.name} has no price. Say --usd-per-hour, or name rented --hardware.")
        return model

    def prices(self, budget: Budget) -> Prices:
        """What training on each row costs.

        Raises:
            BudgetError: the unit needs a trained model to count with, or rows cost nothing under equal steps.
        """
        lengths = self.lengths()
        n = len(self.pool)
        if budget.unit == "examples" and lengths is None:
            return Prices(np.zeros(n, dtype=np.int64), np.zeros(n), self.cost_model(budget.unit))
        if lengths is None or self.model is None:
            raise BudgetError(
                f"a budget of {budget} is counted with the trained model's tokenizer. Name it with --model."
            )
        if budget.pays_for_selection and self.recipe.steps is not None:
            raise BudgetError(
                f"the recipe trains for {self.recipe.steps} steps whatever the rows, so {budget} cannot say how many. "
                "Give a budget in rows or tokens, or epochs in the recipe."
            )
        arch = load.architecture(self.model)
        return Prices(lengths, train_flops(self.recipe, arch, lengths), self.cost_model(budget.unit))

    def affordable(self, budget: Budget, *, but: str) -> list[str]:
        """Methods whose choosing leaves something of the budget: for the error when one does not."""
        found = []
        for name in methods.table():
            method = methods.get(name)
            if name == but or method.train != "subset" or ("target" in method.needs and self.target is None):
                continue
            if self.selection_cost(method, budget) < budget.amount:
                found.append(name)
        return found

    def selection_cost(self, method: Method, budget: Budget) -> float:
        """What choosing with this method takes from the budget; infinite where it cannot be used here."""
        try:
            signals, _ = building.build(method, model=self.model, scorer=self.scorer, encoder=self.encoder)
            cost = bill.price_of(signals, self.pool, self.target)
        except ThresherError:
            return float("inf")
        return self.cost_model(budget.unit).in_unit(cost, budget.unit)


def of_groups(pool: Pool, names: Sequence[str]) -> Pool:
    """The rows of some groups, in their order.

    Raises:
        PoolError: the pool has no such group.
    """
    groups = pool.group_names
    for name in names:
        if name not in groups:
            raise PoolError(f"{pool.name}: " + unknown("group", name, groups))
    return pool.take(np.flatnonzero(np.isin(pool.group_index(), [groups.index(name) for name in names])))


def _packed(pool: Pool, tokenizer: str | None, sources: Sources, cache: Path) -> Pool:
    """The text in pieces of one length.

    Raises:
        PoolError: nobody says what a token is.
    """
    if tokenizer is None or sources.pack is None:
        raise PoolError(f"{pool.name}: pieces are counted in tokens. Name an --encoder or the --model.")
    name = sources.encoder or sources.model or sources.scorer or ""
    return pack(
        pool, load.open_tokenizer(tokenizer), cache=cache, length=sources.pack, border=sources.pack_at, name=name
    )


def _noted(pool: Pool, left_out: int) -> Pool:
    return replace(pool, notes=(*pool.notes, f"{left_out} documents left out before cutting: they stand in the target"))


def open_target(sources: Sequence[str], cache: Path, *, skip_bad: bool = False) -> Pool | None:
    """One target of one or several files, none of none.

    Raises:
        PoolError: a file that cannot be used.
    """
    return joined(sources, cache, skip_bad=skip_bad) if sources else None


def joined(sources: Sequence[str], cache: Path, *, format: str | None = None, skip_bad: bool = False) -> Pool:
    """One pool of one or several files; several are groups of their own unless their rows have groups.

    Raises:
        PoolError: a file that cannot be used.
    """
    pools = [load_pool(source, cache=cache, format=format, skip_bad=skip_bad) for source in sources]
    if len(pools) == 1:
        return pools[0]
    messages = [row for pool in pools for row in pool.messages()]
    ids = [f"{number}/{name}" for number, pool in enumerate(pools, start=1) for name in pool.ids()]
    groups = [g or pool.name for pool in pools for g in pool.table["group"].to_pylist()]
    return Pool.from_messages(messages, groups, ids=ids, name=" + ".join(pool.name for pool in pools))
