"""A named method in a setting: the choice, and the folder it leaves."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thresher import building, methods, pipeline
from thresher.card import card
from thresher.compute import bill
from thresher.compute.local import Mapper
from thresher.core.budget import Budget
from thresher.core.disk import alone, beside, writing
from thresher.core.method import Kind, Selector, Signal, name_of
from thresher.core.target_rows import target_rows
from thresher.data.export import repeated, write_selected
from thresher.errors import BudgetError, PoolError, StoreError, UnknownName
from thresher.methods import Method
from thresher.models import load
from thresher.nearest import nearest_targets
from thresher.pipeline import Selection
from thresher.reasons import reasons
from thresher.setting import Setting

if TYPE_CHECKING:
    from thresher.domains import Closest

OWN = {  # what commands leave in a selection's folder
    "card.json", "scores.parquet", "nearest.json", "report.html", "selected.jsonl", "dataset_info.json", "axolotl.yaml",
    "diagnostics",
}  # fmt: skip
NOT_CHOSEN = {
    "none": "trains on nothing, so there is nothing to choose. Evaluate the model as it is.",
    "labelled": "trains on the target's labelled rows alone, so there is nothing to choose. Use `thresher train`.",
    "target": "trains on the target's own text, so there is nothing to choose. Use `thresher train` on the target.",
}


@dataclass(frozen=True)
class Choice:
    """What one method chose under one budget."""

    setting: Setting
    method: Method
    signals: list[Signal]
    selector: Selector
    selection: Selection
    budget_text: str
    seed: int
    overrides: Mapping[str, object]
    closest: Closest | None = None  # sources, of a method that keeps some

    @property
    def index(self) -> np.ndarray:
        """(k,) rows of the pool, in the order chosen."""
        return self.selection.subset.index

    @property
    def trained(self) -> np.ndarray:
        """(m,) rows as they are trained on: those that count several times stand several times."""
        return repeated(self.selection.subset)

    @property
    def training_flops(self) -> float:
        """The price of training on the chosen rows, repeats included."""
        from thresher.training.recipe import total_flops

        if self.setting.model is None:
            return 0.0
        lengths = self.setting.encoded.lengths()[self.trained]
        return total_flops(self.setting.recipe, load.architecture(self.setting.model), lengths)

    @property
    def selection_flops(self) -> float:
        """What choosing cost: counted while it ran, whether now or by an earlier command."""
        return bill.charged_flops(self.selection.receipts)


def choose(
    setting: Setting, name: str, budget_text: str, *, seed: int = 0, overrides: Mapping[str, object] | None = None,
    mapper: Mapper | None = None,
) -> Choice:  # fmt: skip
    """Choose rows with a named method.

    Raises:
        UnknownName: no such method or field.
        BudgetError: nothing is left after choosing; the message names methods that would have fitted.
        PoolError: the method needs a target or groups and there are none.
    """
    method, signals, selector, of_domains = parts_of(setting, name, overrides or {})
    budget = Budget.parse(budget_text, len(setting.pool))
    if method.train == "all":
        budget = Budget(float(len(setting.pool)), "examples")
    try:
        closest = None if method.domains is None else _closest(setting, signals, of_domains, mapper)
        spent = setting.cost_model(budget.unit).in_unit(closest.estimate, budget.unit) if closest else 0.0
        selection = pipeline.select(
            signals, selector, setting.pool, setting.target,
            budget=budget.after(spent) if budget.pays_for_selection else budget, prices=setting.prices(budget),
            seed=seed, store=setting.store, by_group=method.by_group, mapper=mapper,
            excluded={**setting.excluded, **(closest.excluded if closest else {})},
        )  # fmt: skip
        if closest is not None:
            selection = _with_domains(selection, closest, budget, spent if budget.pays_for_selection else 0.0)
    except BudgetError as error:
        fitting = setting.affordable(budget, but=name) if budget.pays_for_selection else []
        if not fitting:
            raise
        raise BudgetError(f"{str(error).rstrip('.')}. Methods whose choosing fits: {', '.join(fitting)}.") from None
    return Choice(setting, method, signals, selector, selection, budget_text, seed, dict(overrides or {}), closest)


def parts_of(
    setting: Setting, name: str, overrides: Mapping[str, object]
) -> tuple[Method, list[Signal], Selector, dict[str, object]]:
    """(method, signals, selector, fields of the sources that are kept): what a choice is made with, nothing run yet.

    Raises:
        UnknownName: no such method or field.
        FieldError: a value that a field cannot have.
        ModelError: a model that the method needs was not named.
        PoolError: the method chooses no rows, or needs a target and there is none.
    """
    method = methods.get(name)
    if method.train in NOT_CHOSEN:
        raise PoolError(f"{name} {NOT_CHOSEN[method.train]}")
    if "target" in method.needs and setting.target is None:
        raise PoolError(f"{name} chooses rows near a target, and there is none. Name one with --target.")
    own, of_domains = _split(method, overrides)
    signals, selector = building.build(
        method, model=setting.model, scorer=setting.scorer, encoder=setting.encoder, overrides=own
    )
    return method, signals, selector, of_domains


def _split(method: Method, overrides: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Fields of signals and selector, and those of the sources that are kept.

    Raises:
        UnknownName: fields of sources, for a method that does not look at them.
    """
    found = {key.removeprefix("domains."): value for key, value in overrides.items() if key.startswith("domains.")}
    if found and method.domains is None:
        raise UnknownName(f"{method.name} chooses among all sources: it has no field domains.{next(iter(found))}.")
    own = {key: value for key, value in overrides.items() if not key.startswith("domains.")}
    return own, {**(method.domains or {}), **found}


def _closest(
    setting: Setting, signals: list[Signal], fields: Mapping[str, object], mapper: Mapper | None
) -> Closest:
    """The candidates of the sources that the transport signal finds closest."""
    from thresher.domains import Domains, closest  # loads torch

    signal: Any = signals[0]
    target = target_rows(signals, setting.target).rows  # of the others the selection tells
    assert target is not None, "methods with domains need a target"
    return closest(
        setting.pool, target, signal.of, settings=signal.settings(), store=setting.store, mapper=mapper,
        how=building.instance(Domains, "domains", fields), excluded=setting.excluded,
        allow_unconverged=signal.allow_unconverged,
    )  # fmt: skip


def _with_domains(selection: Selection, closest: Closest, budget: Budget, spent: float) -> Selection:
    """With the sources' comparison on the bill, and a note of what the pool has become."""
    kept = ", ".join(f"{line.source} ({line.candidates:,} rows)" for line in closest.table if line.kept)
    note = f"candidates, and so what stands for the pre-training data, are rows of the closest sources only: {kept}"
    return replace(
        selection, subset=replace(selection.subset, notes=(*selection.subset.notes, note)), budget=budget,
        spent=selection.spent + spent, receipts=[*closest.receipts, *selection.receipts],
        estimate=selection.estimate + closest.estimate,
    )  # fmt: skip


def check_out(out: Path) -> None:
    """Nothing, where a selection can be left there: an earlier one is replaced.

    Raises:
        StoreError: `out` holds something that is not a selection, or not of it, or is no name of a folder.
    """
    with writing(out):  # a name can be too long even to ask for
        if not out.exists():
            return
        if not out.is_dir():
            raise StoreError(f"{out} is a file. Name a folder with --out.")
        names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    if names and "card.json" not in names:
        raise StoreError(f"{out} is not empty and not a selection. Name another folder with --out.")
    if others := sorted(names - OWN):
        raise StoreError(
            f"{out} holds {', '.join(others[:3])} beside a selection, which would be lost with it. Move "
            f"{'it' if len(others) == 1 else 'them'}, or name another folder with --out."
        )


def write(choice: Choice, out: Path, *, command: str = "") -> dict[str, Any]:
    """Leave the selection's folder, whole or not at all; returns its card.

    Raises:
        StoreError: as `check_out`.
    """  # noqa: DOC502
    part = out.with_name(out.name + ".part")
    with alone(beside(out)), writing(part):
        check_out(out)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write_selected(choice.setting.pool, choice.selection.subset, part)
        pq.write_table(scores(choice), part / "scores.parquet", compression="zstd")
        near = nearest_targets(choice.selection, choice.setting.pool)
        if near:
            (part / "nearest.json").write_text(json.dumps(near, indent=1, ensure_ascii=False), encoding="utf-8")
        made = card(choice, command)
        made["sha256"] = {name: _sha256(part / name) for name in ("selected.jsonl", "scores.parquet")}
        (part / "card.json").write_text(json.dumps(made, indent=1, ensure_ascii=False), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        part.rename(out)
    return made


def fault_of(folder: Path) -> str | None:
    """What is wrong with a selection's folder: its card cannot be read, or a file is not the card's any more."""
    try:
        told = json.loads((folder / "card.json").read_text(encoding="utf-8"))["sha256"]
        wrong = [name for name, wanted in told.items() if _sha256(folder / name) != wanted]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"card.json: {error}"
    return f"{wrong[0]} is not the card's" if wrong else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scores(choice: Choice) -> pa.Table:
    """One line per pool row: what was measured, and why it was chosen or not."""
    selection, pool = choice.selection, choice.setting.pool
    n, subset = len(pool), selection.subset
    lengths = choice.setting.lengths()
    columns: dict[str, Any] = {
        "row": pa.array(np.arange(n)),
        "id": pool.table["id"],
        "group": pool.table["group"],
        "tokens": pa.nulls(n, pa.int64()) if lengths is None else pa.array(lengths.astype(np.int64)),
    }
    kinds = {name_of(signal): signal.kind for signal in choice.signals}
    for name, values in selection.values.items():
        for label, column in _numbers(name, values, kinds[name]):
            # a signal `group` numbers rows by whatever it was told to; the pool's own groups stay
            columns["label" if label == "group" else label] = _spread(column, selection.kept, n)
    rank = np.full(n, -1)
    rank[subset.index] = np.arange(1, len(subset) + 1)
    columns["rank"] = pa.array(rank, mask=rank < 0)
    gain = np.zeros(n)
    gain[subset.index] = subset.gain
    columns["gain"] = pa.array(gain, mask=rank < 0)
    columns["chosen"] = pa.array(rank > 0)
    by_group = choice.method.by_group or any(signal.per_group for signal in choice.signals)
    columns["reason"] = pa.array(reasons(selection, choice.selector, by_group, n))
    return pa.table(columns)


def _numbers(name: str, values: np.ndarray, kind: Kind) -> list[tuple[str, np.ndarray]]:
    """Score and label as they are; of an affinity its mean and its maximum; features have no column."""
    if kind != "affinity":
        return [] if kind == "feature" else [(name, values)]
    return [(f"{name}_mean", values.mean(axis=1, dtype=np.float64)), (f"{name}_max", values.max(axis=1))]


def _spread(values: np.ndarray, kept: np.ndarray, n: int) -> pa.Array:
    full = np.zeros(n, dtype=values.dtype)
    full[kept] = values
    missing = np.ones(n, dtype=bool)
    missing[kept] = False
    return pa.array(full, mask=missing)
