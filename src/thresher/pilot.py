"""A pilot: small proxies on small subsets of a small share of the pool, paid for out of the budget.

    pool'    random rows of the pool, as many as the allowance pays for
    target'  every other row of the target chooses, the others score (a task file takes their place)
    proxy    the scorer; without one the model itself
    arms     every method that reads pool' for a part of the allowance, at 10 % and 40 %; random; all of pool'; none

What it saw is one more source of the prior, and one that counts several times: it is the same pool and target. Where
the proxy is the model itself, its random rows and the untrained score are evidence of the very job as well: random
rows of random rows are random rows of the pool.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thresher import tariff
from thresher.core.budget import Budget
from thresher.core.method import Subset
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.data.export import FILE, write_selected
from thresher.errors import BudgetError, PoolError
from thresher.evaluation.task import Task
from thresher.planning.prior import Prior
from thresher.planning.results import Panel, Run, read
from thresher.run import run
from thresher.setting import Setting
from thresher.spec import Spec

SIZES = (0.1, 0.4)  # of pool'
SMALLEST = 100  # rows of pool': below, a tenth of it says nothing
WEIGHT = 3.0  # sources that one of the same pool and target counts as
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pilot:
    """What a pilot cost and saw.

    Attributes:
        flops: of choosing and training, as counted while it ran; scoring its models is not charged, as nowhere.
        prior: its lines.
        own: evidence of the very job, if the proxy is the model itself.
    """

    flops: float
    prior: Prior
    own: Panel | None
    note: str


@dataclass(frozen=True)
class Design:
    """What a pilot will do: rows of pool', methods, and what that costs by estimate."""

    rows: int
    names: tuple[str, ...]
    flops: float


def pilot(
    setting: Setting, share: float, budget: str, *, names: Sequence[str] = (), task: Task | None = None, seed: int = 0,
    say: Say = lambda line: None,
) -> Pilot:  # fmt: skip
    """Run one inside a share of a budget; run again, it is read.

    Raises:
        BudgetError: a budget that does not pay for choosing, or a share of it that pays for no pilot.
        PoolError: no target, or one of a single row, and no task to score with.
    """
    allowance = _allowance(setting, share, budget)
    if task is None and (setting.target is None or len(setting.target) < 2):
        raise PoolError("a pilot scores with half of the target: name one of two rows or more, or a --task.")
    proxy = _proxy(setting)
    made = design(proxy, allowance, names)
    about = {"pool": setting.pool.fingerprint, "target": setting.target.fingerprint if setting.target else None,
             "proxy": proxy.sources.model, "rows": made.rows, "names": made.names, "seed": seed,
             "task": None if task is None else repr(task), "recipe": setting.recipe.to_dict()}  # fmt: skip
    text = json.dumps(about, sort_keys=True, default=str)
    out = setting.store.root / "pilots" / hashlib.sha256(text.encode()).hexdigest()[:20]
    spec = _spec(proxy, made, out / "rows", task, seed)
    about_it = f"{', '.join(made.names)} on {made.rows:,} rows with {proxy.sources.model}"
    say(f"pilot: {about_it}, about {made.flops:.3g} FLOPs")
    folder = run(spec, out / "run", store=Store(out / "store"), command="thresher plan --pilot", say=say)
    return _seen(setting, proxy, made, read(folder).panels()[0])


def _allowance(setting: Setting, share: float, text: str) -> float:
    """FLOPs of training that the pilot's share of a budget pays for.

    Raises:
        BudgetError: a unit that does not pay for choosing.
    """
    budget = Budget.parse(text, len(setting.pool))
    if not 0 < share < 1:
        raise BudgetError(f"a pilot takes a share of the budget between 0 and 1, not {share:g}.")
    if not budget.pays_for_selection:
        raise BudgetError(
            f"a pilot is paid for out of the budget, and {budget} pays for training rows only. Give one in flops, "
            "gpu-hours or dollars."
        )
    if budget.unit == "flops":
        return share * budget.amount
    prices = tariff.cost_model(setting, budget.unit == "usd")
    hours = share * budget.amount / (prices.hardware.usd_per_hour if budget.unit == "usd" else 1.0)
    return hours * 3600 * prices.rate("train")


def _proxy(setting: Setting) -> Setting:
    """The setting with the scorer in the model's place."""
    if setting.scorer is None:
        return replace(setting, sources=replace(setting.sources, scorer=None))
    sources = replace(setting.sources, model=setting.sources.scorer, scorer=None)
    return replace(setting, sources=sources, model=setting.scorer, scorer=None)


def design(proxy: Setting, allowance: float, names: Sequence[str] = ()) -> Design:
    """As many rows as the allowance pays for; the dearest methods are left out before there are too few rows.

    Raises:
        BudgetError: not even random rows fit.
    """
    each = tariff.job_of(proxy)
    offers = [o for o in tariff.offers(proxy, names=names) if not o.problem]
    offers.sort(key=lambda o: o.pool_flops + o.job_flops)
    n = len(proxy.pool)
    trained = sum(SIZES)

    def price(rows: int, many: int) -> float:
        training = each.training(max(1, rows))[1] * (trained * many + 1)
        return training + sum(o.pool_flops * rows / n + o.job_flops for o in offers[:many])

    for many in range(len(offers), 0, -1):
        rows = n
        while rows >= min(SMALLEST, n) and price(rows, many) > allowance:
            rows = int(rows / 1.25)
        if rows >= min(SMALLEST, n):
            names = _possible(proxy, rows, [o.method for o in offers[:many]])
            return Design(rows, names, price(rows, many))
    raise BudgetError(
        f"a pilot of {allowance:.3g} FLOPs trains on nothing: random rows alone take {price(min(SMALLEST, n), 1):.3g}. "
        "Give it a larger share, or a smaller --scorer as proxy."
    )


def _possible(proxy: Setting, rows: int, names: Sequence[str]) -> tuple[str, ...]:
    """The methods that can be used on so few rows: some need more steps of training than there are."""
    few = replace(proxy, pool=proxy.pool.take(np.arange(rows)))
    return tuple(dict.fromkeys(o.method for o in tariff.offers(few, names=names) if not o.problem))


def _spec(proxy: Setting, made: Design, folder: Path, task: Task | None, seed: int) -> Spec:
    """The pilot as a run; its rows are written beside it, always the same ones."""
    rng = np.random.default_rng([seed, 0x9170])
    usable = np.setdiff1d(np.arange(len(proxy.pool)), np.fromiter(proxy.excluded, dtype=np.int64))
    rows = np.sort(rng.permutation(usable)[: made.rows])
    pool = _written(proxy.pool, rows, folder / "pool")
    target: list[str] = []
    if proxy.target is not None:
        order = np.arange(len(proxy.target))
        choosing = order if task is not None else order[0::2]
        target = [str(_written(proxy.target, choosing, folder / "target"))]
        if task is None:
            checking = _written(proxy.target, order[1::2], folder / "check")
            task = Task(task="held-out target", data=str(checking), measure="held_out", rows_as=proxy.target.format)
    assert task is not None, "checked by pilot"
    values: dict[str, Any] = {
        "pool": str(pool), "target": target, "model": proxy.sources.model, "encoder": proxy.sources.encoder,
        "format": proxy.pool.format, "group": proxy.sources.group, "methods": ["zero-shot", "full", *made.names],
        "trust_remote_code": proxy.sources.trust_remote_code, "workers": 1,
        "budgets": [f"{100 * size:g}%" for size in SIZES], "seeds": [seed],
        "tasks": [{name: getattr(task, name) for name in task.__dataclass_fields__}],
    }  # fmt: skip
    spec = Spec.from_dict({key: value for key, value in values.items() if value is not None}, folder=folder)
    return replace(spec, recipe=proxy.recipe.with_steps(None))


def _written(pool: Pool, rows: np.ndarray, folder: Path) -> Path:
    if not (folder / FILE).exists():
        write_selected(pool, Subset(rows, np.zeros(len(rows))), folder)
    return folder / FILE


def _seen(setting: Setting, proxy: Setting, made: Design, panel: Panel) -> Pilot:
    trained = [one for one in panel.runs if one.training_flops > 0]
    choosing: dict[str, float] = {}
    for one in trained:
        choosing[one.method] = max(choosing.get(one.method, 0.0), one.selection_flops)
    flops = sum(choosing.values()) + sum(one.training_flops for one in trained)
    lines = tuple(replace(line, weight=WEIGHT, source=f"pilot: {line.source}") for line in Prior.of([panel]).lines)
    own = None
    if proxy.model == setting.model:
        own = replace(panel, runs=tuple(_of_the_job(one, made.rows, len(setting.pool)) for one in panel.runs
                                        if one.method in ("random", "full") or one.training_flops == 0))  # fmt: skip
    note = (
        f"a pilot spent {flops:.3g} FLOPs of the budget: {', '.join(made.names)} on {made.rows:,} rows, "
        f"{panel.metric} of {panel.task} with {proxy.sources.model}, one seed"
    )
    return Pilot(flops, Prior(lines), own, note)


def _of_the_job(one: Run, rows: int, n: int) -> Run:
    """A run on random rows of random rows is one on random rows of the pool."""
    if one.training_flops == 0:
        return one
    return replace(one, method="random", fraction=(one.fraction or 0.0) * rows / n)
