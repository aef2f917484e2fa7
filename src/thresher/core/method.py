"""Signal and Selector: what measures, what chooses, and what a choice looks like."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load, Receipt
from thresher.core.pool import Pool

Kind = Literal["score", "label", "affinity", "feature"]
Score = Float[np.ndarray, " n"]  # one number each; no opinion on which end is good
Label = Int[np.ndarray, " n"]  # which group it belongs to
Affinity = Float[np.ndarray, "n q"]  # closeness to each target example, or each target group
Feature = Float[np.ndarray, "n d"]  # a place in space
State = Any  # what `prepare` hands to `measure`: small, and it pickles


@dataclass(frozen=True, kw_only=True)
class Signal(ABC):
    """A measurement of every row; the fields of a subclass are its hyperparameters."""

    kind: ClassVar[Kind]
    version: ClassVar[int] = 1  # raise it when values change; it is in the store's key
    needs_target: ClassVar[bool] = False
    reads_origin: ClassVar[bool] = False  # looks at the user's own columns, which the pool's fingerprint leaves out
    per_group: ClassVar[bool] = False  # an affinity whose columns are target groups already
    inner_over: ClassVar[Literal["pool", "target"]] = "pool"  # what the inner signal is measured over
    work: ClassVar[str] = "cpu"  # the kind of work `measure` is, for calibration
    example: ClassVar[Mapping[str, Any]] = {}  # fields the contract tests fill, where defaults will not do

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """The load `cost` is asked about; signals with a tokenizer count real tokens."""
        return Load(n=len(pool), tokens=0, q=len(target) if target is not None else 0)

    def identity(self) -> dict[str, str]:
        """What changes values besides the fields: weight hashes of models, say."""
        return {}

    @abstractmethod
    def cost(self, load: Load) -> Cost:
        """The price, before anything is loaded."""

    def reading_cost(self, load: Load) -> Cost:
        """The part of the price that `measure` is, where `prepare` is dear: another signal reads the target so."""
        return self.cost(load)

    def truncated(self, rows: Pool) -> float | None:
        """Share of the rows whose right end the signal does not see; None where nothing is cut."""
        return None

    def usable(self, pool: Pool) -> np.ndarray | None:
        """(n,) bool: rows that can be given a number at all; None means every row."""
        return None

    def usable_target(self, target: Pool) -> np.ndarray | None:
        """(q,) bool: target rows with something to read; None means every row. The pipeline leaves out the others."""
        return None

    def inner(self) -> Signal | None:
        """The signal this one is computed from. It is measured first and on its own, so that methods share it.

        `prepare` is then given the folder of the signal at the bottom, `measure_over` the inner one's values for these
        rows (all of them where it is measured over the target), and `cost` is what comes on top.
        """
        return None

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> State:
        """Whatever needs the whole pool or the target; may be called again after an interruption."""
        return None

    def prepare_over(self, pool: Pool, target: Pool | None, folder: Path, values: np.ndarray) -> State:
        """As `prepare`, where the inner signal's values of the whole pool are of use."""
        return self.prepare(pool, target, folder)

    def stages(self, state: State) -> list[Receipt]:
        """What `prepare` did, where its parts are to be told apart (training, reading); it outlives interruptions."""
        return []

    def account(self, state: State) -> dict[str, Any]:
        """What was decided while measuring, for the card: device, precision, what a scorer was tuned on."""
        return {}

    def diagnose(self, folder: Path, pool: Pool, chosen: Int[np.ndarray, " k"]) -> dict[str, Any]:
        """The choice in the signal's own terms, for card and report; the folder is as `prepare` left it."""
        return {}

    @abstractmethod
    def measure(self, state: State, rows: Pool) -> np.ndarray:
        """(b,) | (b, q) | (b, d), by kind; a pure function of its arguments."""

    def measure_over(self, state: State, rows: Pool, values: np.ndarray) -> np.ndarray:
        """As `measure`, from the inner signal's values for these rows."""
        raise NotImplementedError(f"{name_of(self)} has no inner signal")


@dataclass(frozen=True)
class Subset:
    """The chosen rows, in the order they were chosen."""

    index: Int[np.ndarray, " k"]  # rows of the pool
    gain: Float[np.ndarray, " k"]  # what each added, in the selector's own unit
    weight: Float[np.ndarray, " k"] | None = None  # multiplicity, where a row counts more than once
    column: Int[np.ndarray, " k"] | None = None  # the affinity column (target row or group) that chose it
    notes: tuple[str, ...] = ()  # what the reader of a card should know, in words

    def __len__(self) -> int:
        return len(self.index)

    def prefix(self, k: int) -> Subset:
        """The first k choices."""
        weight = None if self.weight is None else self.weight[:k]
        column = None if self.column is None else self.column[:k]
        return Subset(self.index[:k], self.gain[:k], weight, column, self.notes)


@dataclass(frozen=True, kw_only=True)
class Selector(ABC):
    """A way to choose: arrays in, an order out. It never sees a unit, a path or a model."""

    needs: ClassVar[tuple[Kind, ...]]
    nested: ClassVar[bool] = True  # a smaller budget gives a prefix of a larger one
    version: ClassVar[int] = 1
    draws: ClassVar[bool] = False  # is handed rows in order of their ids: another order of the pool draws the same
    gain_is: ClassVar[str] = "score"  # what `gain` means, in words, for the reasons

    choose: ClassVar[Callable[..., Subset]]  # (values by kind, *, price, budget, rng) -> Subset

    @abstractmethod
    def cost(self, load: Load) -> Cost:
        """The price of choosing itself."""


def chain(signal: Signal) -> Iterator[Signal]:
    """A signal over the pool, with those over the pool that it is computed from."""
    one: Signal | None = signal
    while one is not None:
        yield one
        one = None if one.inner_over == "target" else one.inner()


def describe(method: Signal | Selector) -> dict[str, object]:
    """Name, version and every field, nested methods included: what goes into keys and cards."""
    return {
        "name": name_of(method),
        "version": method.version,
        "fields": {f.name: _plain(getattr(method, f.name)) for f in fields(method)},
    }


def name_of(method: Signal | Selector | type) -> str:
    """The file a method lives in: its name everywhere."""
    return (method if isinstance(method, type) else type(method)).__module__.rsplit(".", 1)[-1]


def _plain(value: object) -> object:
    if isinstance(value, (Signal, Selector)):
        return describe(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
