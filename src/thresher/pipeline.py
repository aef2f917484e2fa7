"""Where signal meets pool, and selector meets budget."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float, Int

from thresher.compute import bill, meter
from thresher.compute.cost_model import CostModel, price
from thresher.compute.local import Local, Mapper
from thresher.compute.parts import PartWork
from thresher.core.budget import Budget
from thresher.core.cost import Cost, Receipt
from thresher.core.method import Selector, Signal, Subset, describe, name_of
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.core.target_rows import TargetRows, target_rows
from thresher.errors import BudgetError, KindError, PoolError

log = logging.getLogger(__name__)
PART, LEAST_PART = 4096, 256  # rows; what a killed run loses at most, and what one worker takes at a time
PART_FLOPS = 2e12  # of dear work a part is smaller: some 20 to 100 seconds of a core


@dataclass(frozen=True)
class Measured:
    """A signal's values for every row of a pool, and what they cost."""

    values: np.ndarray  # (n,) | (n, q) | (n, d), memory-mapped
    receipt: Receipt
    manifest: dict[str, Any]
    key: str = ""
    below: Measured | None = None  # the signal this one was computed from

    def receipts(self) -> dict[str, Receipt]:
        """By key: of the signals underneath, then its own."""
        found = map(Receipt.from_dict, self.manifest.get("stages", ()))
        stages = [replace(receipt, shared=self.receipt.shared) for receipt in found]
        own = {f"{self.key}/{one.stage}": one for one in stages} or {self.key: self.receipt}
        return {**(self.below.receipts() if self.below is not None else {}), **own}

    @property
    def bottom(self) -> str:
        """The key of the signal that everything is computed from."""
        return self.key if self.below is None else self.below.bottom


def measure(
    signal: Signal, pool: Pool, target: Pool | None = None, *, store: Store, mapper: Mapper | None = None,
    part_size: int | None = None,
) -> Measured:  # fmt: skip
    """Measure every row, or read what was measured before.

    Parts that an interrupted run finished are kept. Values depend on the signal, its model, the pool and, where the
    signal looks at it, the target; on nothing else. A signal that is computed from another one has that one measured
    first, under its own key: the next method that uses it finds it there. Target rows with nothing to read are left
    out, with a warning.

    Raises:
        PoolError: the signal needs a target and there is none, or none with anything to read.
        NonFinite: a value is NaN or infinite; the message names the rows.
    """
    near = target_rows([signal], target)
    near.warn()
    return _measure(signal, pool, near, store, mapper, part_size=part_size)


def _measure(
    signal: Signal, pool: Pool, near: TargetRows, store: Store, mapper: Mapper | None, *, part_size: int | None = None
) -> Measured:
    """As `measure`, near target rows that can all be read."""
    key, inputs, below, part_size = _place(signal, pool, near, store, mapper, part_size)
    if not store.has(key):
        with store.claim(key):
            if not store.has(key):
                _measure_parts(signal, pool, near, key, inputs, store, mapper or Local(), part_size, below)
                return Measured(store.read(key), _receipt(store, key), store.manifest(key), key, below)
    return Measured(store.read(key), replace(_receipt(store, key), shared=True), store.manifest(key), key, below)


def measure_shard(
    signal: Signal, pool: Pool, target: Pool | None = None, *, store: Store, mapper: Mapper,
    part_size: int | None = None,
) -> bool:  # fmt: skip
    """The parts that `mapper` picks, beside other processes that do other parts; nothing is joined.

    What everything rests on (an inner signal, `prepare`) is done by the process that comes first; the others wait for
    it. `measure` joins the parts, and does what is missing.

    Returns:
        Whether anything was left to do.

    Raises:
        PoolError: the signal needs a target and there is none, or none with anything to read.
        NonFinite: a value is NaN or infinite; the message names the rows.
    """
    near = target_rows([signal], target)
    near.warn()
    key, _, below, part_size = _place(signal, pool, near, store, None, part_size)
    with store.claim(key):
        if store.has(key):
            return False
        state, estimate = _prepare(signal, pool, near.rows, key, store, below)
        size = store.part_size(key, part_size or rows_a_part(estimate, len(pool)))
    _work(signal, pool, key, store, mapper, size, state, below, estimate)
    return True


def rows_a_part(estimate: Cost, n: int) -> int:
    """PART rows, or as few as PART_FLOPS pay for: a power of two, the same on every machine."""
    if estimate.flops * PART <= PART_FLOPS * n:
        return PART
    return max(LEAST_PART, 1 << int(math.log2(max(n * PART_FLOPS / estimate.flops, 1.0))))


def _place(
    signal: Signal, pool: Pool, near: TargetRows, store: Store, mapper: Mapper | None, part_size: int | None
) -> tuple[str, dict[str, str], Measured | None, int | None]:
    """Key, what is in it, what the signal is computed from (measured here, if it was not yet), and rows a part.

    Raises:
        PoolError: the signal needs a target and there is none.
    """
    target = near.rows
    if signal.needs_target and target is None:
        raise PoolError(f"{name_of(signal)} measures closeness to a target, and there is none. Name one with --target.")
    inner = signal.inner()
    below = None
    if inner is not None:
        below = _below(signal, inner, pool, near, store, mapper, part_size)
        if signal.inner_over == "pool":
            part_size = below.manifest["part_size"]  # its parts, also where it was measured by an earlier run
    inputs = {"pool": pool.fingerprint, **signal.identity()}
    if signal.reads_origin:
        inputs["origin"] = pool.origin_hash()
        if signal.needs_target and target is not None:
            inputs["target_origin"] = target.origin_hash()
    if signal.needs_target and target is not None:
        inputs["target"] = target.fingerprint + ":" + zlib_hex(target)
    key = store.key(signal, **inputs)
    return key, inputs, below, part_size


def _below(
    signal: Signal, inner: Signal, pool: Pool, near: TargetRows, store: Store, mapper: Mapper | None,
    part_size: int | None,
) -> Measured:  # fmt: skip
    """What a signal is computed from, over the pool or over the target."""
    if signal.inner_over == "pool":
        return _measure(inner, pool, near, store, mapper, part_size=part_size)
    assert near.rows is not None, "needs_target says so"
    return _measure(inner, near.rows, TargetRows(None), store, None, part_size=part_size)


def zlib_hex(pool: Pool) -> str:
    """A short sign of how a target is grouped."""
    return f"{zlib.crc32(pool.group_index().tobytes()):08x}"


def _receipt(store: Store, key: str) -> Receipt:
    return Receipt.from_dict(store.manifest(key)["receipt"])


def _measure_parts(
    signal: Signal, pool: Pool, near: TargetRows, key: str, inputs: Mapping[str, str], store: Store,
    mapper: Mapper, part_size: int | None, below: Measured | None,
) -> None:  # fmt: skip
    name = name_of(signal).lstrip("_")
    state, estimate = _prepare(signal, pool, near.rows, key, store, below)
    size = store.part_size(key, part_size or rows_a_part(estimate, len(pool)))
    _work(signal, pool, key, store, mapper, size, state, below, estimate)
    store.gather(key, -(-len(pool) // size))
    prepared = signal.stages(state) or [Receipt.from_dict(store.noted(key, "prepare") or {"stage": name})]
    parts = store.part_receipts(key)
    receipt = Receipt.merge(name, [*prepared, *parts], estimated_flops=estimate.flops)
    manifest = {
        "signal": describe(signal),
        "kind": signal.kind,
        "inputs": dict(inputs),
        "rows": len(pool),
        "part_size": size,
        "estimate": {"flops": estimate.flops, "cpu_seconds": estimate.cpu_seconds, "disk_bytes": estimate.disk_bytes},
        "receipt": replace(receipt, kind=signal.work).to_dict(),
        "account": signal.account(state),
    }
    if signal.needs_target:
        manifest["account"] = {**manifest["account"], "target_rows_left_out": list(near.left_out)}
    if len(prepared) > 1:
        manifest["stages"] = [one.to_dict() for one in (*prepared, Receipt.merge(f"{name}: parts", parts))]
    store.seal(key, manifest)


def _prepare(
    signal: Signal, pool: Pool, target: Pool | None, key: str, store: Store, below: Measured | None
) -> tuple[Any, Cost]:
    """The signal's state, and its price."""
    name = name_of(signal).lstrip("_")
    estimate = signal.cost(signal.sizes(pool, target))
    work = f"{estimate.flops:.3g} FLOPs" if estimate.flops else f"{estimate.cpu_seconds:.1f} s of the processor"
    log.info("%s over %s rows: about %s", name, f"{len(pool):,}", work)
    with meter.block(f"{name}: prepare", kind="cpu" if signal.work == "cpu" else "train") as block:
        if below is None:
            state = signal.prepare(pool, target, store.own(key))
        else:
            state = signal.prepare_over(pool, target, store.own(below.bottom), below.values)
    if store.noted(key, "prepare") is None:  # a second call after an interruption finds its work done
        store.note(key, "prepare", block.receipt().to_dict())
    return state, estimate


def _work(
    signal: Signal, pool: Pool, key: str, store: Store, mapper: Mapper, size: int, state: Any,  # noqa: ANN401
    below: Measured | None, estimate: Cost,
) -> None:  # fmt: skip
    """Every part that is not there yet."""
    store.lend(key)
    done = store.parts_done(key)
    one = PartWork(signal, state, store, key, size, None if below is None else below.key, estimate, len(pool))
    mapper.map(one, ((number, rows) for number, rows in pool.parts(size) if number not in done))


@dataclass(frozen=True)
class Prices:
    """What training on each row costs, counted with the trained model's tokenizer."""

    tokens: Int[np.ndarray, " n"]
    train_flops: Float[np.ndarray, " n"]
    model: CostModel


@dataclass(frozen=True)
class Selection:
    """What was chosen from a pool, from which numbers, and what the choosing cost."""

    subset: Subset  # index into the whole pool
    values: dict[str, np.ndarray]  # by signal name, rows as in `kept`
    kept: Int[np.ndarray, " m"]  # rows that could be chosen
    excluded: dict[int, str]  # row -> reason
    price: Float[np.ndarray, " n"]
    budget: Budget  # as asked
    spent: float  # on selection, in the budget's unit; 0 where it does not pay for selection
    receipts: list[Receipt] = field(default_factory=list)
    target: Pool | None = None  # the q rows of the target that were read, which an affinity's columns are
    affinity: np.ndarray | None = None  # (m, q) to each target row, before any averaging; where there is one
    accounts: dict[str, Any] = field(default_factory=dict)  # by signal name: device, dtype, what a scorer was tuned on
    estimate: Cost = field(default_factory=Cost)
    keys: dict[str, str] = field(default_factory=dict)  # by signal name: where its values and its own folder rest


def select(
    signals: Sequence[Signal], selector: Selector, pool: Pool, target: Pool | None = None, *, budget: Budget,
    prices: Prices, seed: int, store: Store, by_group: bool = False, excluded: Mapping[int, str] | None = None,
    mapper: Mapper | None = None,
) -> Selection:  # fmt: skip
    """Measure, deduct what measuring costs, choose.

    Args:
        signals: in the order of the selector's `needs`.
        selector: what chooses.
        pool: n rows.
        target: q rows, where a signal needs them.
        budget: as asked; in FLOPs, hours or dollars it pays for the signals too.
        prices: of training on each row.
        seed: of the selector's draws.
        store: where measurements rest.
        by_group: average an affinity inside each target group first.
        excluded: rows that must not be chosen, with the reason in words.
        mapper: how parts are worked through.

    Raises:
        KindError: signals and selector do not fit together.
        BudgetError: choosing alone costs more than the budget, or no row fits.
        PoolError: no row can be chosen, or none of the target or of a target group can be read.
    """
    check_kinds(signals, selector)
    excluded = dict(excluded or {})
    for signal in signals:
        usable = signal.usable(pool)
        if usable is not None:
            for row in np.flatnonzero(~usable):
                excluded.setdefault(int(row), f"no trainable token within the window of {name_of(signal)}'s model")
    kept = np.setdiff1d(np.arange(len(pool)), np.fromiter(excluded, dtype=np.int64, count=len(excluded)))
    if len(kept) == 0:
        raise PoolError(f"{pool.name}: no row can be chosen; the first reason: {next(iter(excluded.values()))}.")
    rows = pool if len(kept) == len(pool) else pool.without(excluded)
    near = target_rows(signals, target, by_group=by_group)
    near.warn()
    sizes = bill.sizes(signals, rows, near.rows)
    estimate = bill.price_of(signals, rows, near.rows) + selector.cost(sizes)
    unit_price = price(budget.unit, prices.tokens, prices.train_flops, prices.model)  # (n,)
    spent = prices.model.in_unit(estimate, budget.unit) if budget.pays_for_selection else 0.0
    left = budget.after(spent) if budget.pays_for_selection else budget
    if unit_price[kept].min() > left.amount * (1 + 1e-12):
        raise BudgetError(
            f"no row fits: the cheapest costs {Budget(float(unit_price[kept].min()), budget.unit)} to train on, and "
            f"{left} is left of {budget}. Ask for more."
        )
    measured = [_measure(signal, rows, near, store, mapper) for signal in signals]
    values = [
        _grouped(found.values, near.rows) if by_group and signal.kind == "affinity" and not signal.per_group
        else found.values
        for signal, found in zip(signals, measured, strict=True)
    ]
    with meter.block(name_of(selector), kind="cpu") as block:
        chosen = _choose(selector, values, rows, unit_price[kept], left.amount, stream(selector, seed))
        # selectors see arrays only and cannot count: their own formula, with the rows they did choose
        meter.count(flops=selector.cost(replace(sizes, k=len(chosen))).flops)
    return Selection(
        subset=replace(chosen, index=kept[chosen.index]),
        values={name_of(signal): value for signal, value in zip(signals, values, strict=True)},
        kept=kept,
        excluded=excluded,
        price=unit_price,
        budget=budget,
        spent=spent,
        receipts=[*bill.receipts(found.receipts() for found in measured), block.receipt()],
        target=near.rows,
        affinity=next(
            (f.values for s, f in zip(signals, measured, strict=True) if s.kind == "affinity" and not s.per_group), None
        ),
        accounts={name_of(signal): found.manifest["account"] for signal, found in zip(signals, measured, strict=True)},
        estimate=estimate,
        keys={name_of(signal): found.key for signal, found in zip(signals, measured, strict=True)},
    )


def _choose(
    selector: Selector, values: Sequence[np.ndarray], rows: Pool, price: np.ndarray, budget: float,
    rng: np.random.Generator,
) -> Subset:  # fmt: skip
    """The selector's answer; one that draws is handed rows by id, so that another order of the pool draws the same."""
    if not selector.draws:
        return selector.choose(*values, price=price, budget=budget, rng=rng)
    order = pc.sort_indices(rows.table["id"]).to_numpy()  # stable
    moved = [value[order] for value in values]
    chosen = selector.choose(*moved, price=price[order], budget=budget, rng=rng)
    return replace(chosen, index=order[chosen.index].astype(np.int64))


def check_kinds(signals: Sequence[Signal], selector: Selector) -> None:
    """Whether signals and selector fit together.

    Raises:
        KindError: the selector eats something else than these signals measure.
    """
    given = tuple(signal.kind for signal in signals)
    if given != selector.needs:
        raise KindError(
            f"{name_of(selector)} chooses by {list(selector.needs) or 'nothing'}, but was given "
            f"{list(given) or 'nothing'} ({', '.join(map(name_of, signals)) or 'no signal'}). "
            "Give it signals of the kinds it needs, in that order."
        )


def stream(selector: Selector, seed: int) -> np.random.Generator:
    """The selector's own random stream, named after it."""
    return np.random.default_rng([seed, zlib.crc32(f"selectors/{name_of(selector)}".encode())])


def _grouped(affinity: Float[np.ndarray, "n q"], target: Pool | None) -> Float[np.ndarray, "n g"]:
    """Mean over the target rows of each group, in order of the group names."""
    assert target is not None, "an affinity has a target"
    group = target.group_index()
    share = (group[:, None] == np.unique(group)) / np.unique(group, return_counts=True)[1]  # (q, g)
    blocks = range(0, len(affinity), 1 << 16)  # the affinity may be far larger than memory
    return np.concatenate([np.asarray(affinity[at : at + (1 << 16)], dtype=np.float64) @ share for at in blocks])
