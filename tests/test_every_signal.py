"""The contract of signals, over the folder: a new file is tested the moment it exists.

Fields called `model` or `encoder` are filled with a tiny model; what else has no default is in the class's
`example`. A signal that needs a column of the user's finds `number` and `word` in every row.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thresher import building, methods, pipeline
from thresher.compute.local import Local
from thresher.core import registry
from thresher.core.cost import Load
from thresher.core.method import Signal
from thresher.core.pool import Pool
from thresher.core.store import Store

AXES = {"score": 1, "label": 1, "affinity": 2, "feature": 2}
MODELS = ("model", "encoder")


def _cases() -> dict[str, dict[str, Any]]:
    """Every file as plain as it can be, and every setting a named method gives it."""
    found: dict[str, dict[str, Any]] = {}
    for name in registry.names("signals"):
        cls = registry.get("signals", name)
        own = [f.name for f in fields(cls)]
        found[name] = {"name": name, **{model: f"@{model}" for model in MODELS if model in own}, **cls.example}
    for method in methods.table().values():
        for line in method.signals:
            found[f"{method.name}'s {line['name']}"] = _under(line, found[str(line["name"])])
    plain = [found[name] for name in registry.names("signals")]
    return {name: line for name, line in found.items() if "'s " not in name or line not in plain}


def _under(line: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    """The line, and what it does not say from the example, in inner tables too."""
    filled = {**example, **line}
    for key, value in line.items():
        if isinstance(value, Mapping) and isinstance(example.get(key), Mapping):
            filled[key] = _under(value, example[key])
    return filled


CASES = _cases()
NAMES = registry.names("signals")


@dataclass(frozen=True)
class World:
    """What every signal is tried on."""

    pool: Pool
    target: Pool
    model: str
    encoder: str

    def build(self, case: str) -> Signal:
        made = methods.Method(case, signals=(CASES[case],), selector={"name": "uniform"})
        return building.build(made, model=self.model, scorer=self.model, encoder=self.model)[0][0]

    def rows(self, pool: Pool, signal: Signal) -> Pool:
        usable = signal.usable(pool)
        return pool if usable is None else pool.take(np.flatnonzero(usable))


@pytest.fixture(scope="module")
def world(tiny_pool: Pool, tiny_model: str, tiny_encoder: str) -> World:
    origin = [
        {**row, "number": float(i % 11), "word": f"w{i % 3}", "complexity": i % 5, "quality": [i % 3]}
        for i, row in enumerate(tiny_pool.origin())
    ]
    messages, groups = list(tiny_pool.messages()), tiny_pool.table["group"].to_pylist()
    pool = Pool.from_messages(messages, groups, origin=origin, name="tiny")
    asked = [[{"role": m["role"], "content": m["content"].replace("Ann", "Bob")} for m in row] for row in messages[:6]]
    target = Pool.from_messages(asked, ["a", "b", "a", "b", "a", "b"], ids=[f"t{i}" for i in range(6)], name="target")
    return World(pool, target, tiny_model, str(tiny_encoder))


@pytest.fixture(scope="module")
def measured(world: World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], pipeline.Measured]:
    """Each case measured once, in parts of seven."""
    done: dict[str, pipeline.Measured] = {}
    stores = Store(tmp_path_factory.mktemp("measured"))

    def measure(case: str) -> pipeline.Measured:
        if case not in done:
            done[case] = values_of(world, case, stores, part_size=7)
        return done[case]

    return measure


def values_of(world: World, case: str, store: Store, *, pool: Pool | None = None, **how: Any) -> pipeline.Measured:
    signal = world.build(case)
    rows = world.rows(pool if pool is not None else world.pool, signal)
    return pipeline.measure(signal, rows, world.target, store=store, **how)


@pytest.mark.parametrize("case", CASES)
def test_shape_by_kind_and_finite(case: str, world: World, measured: Callable):
    signal, values = world.build(case), measured(case).values
    assert values.ndim == AXES[signal.kind], f"a {signal.kind} has {AXES[signal.kind]} axes"
    assert len(values) == len(world.rows(world.pool, signal))
    assert np.isfinite(values).all()
    assert values.dtype.kind == ("i" if signal.kind == "label" else "f")
    if signal.kind == "affinity":
        assert 1 <= values.shape[1] <= len(world.target), "columns are target rows, or target groups"


@pytest.mark.parametrize("case", NAMES)
def test_it_tells_rows_apart(case: str, measured: Callable):
    assert len(np.unique(np.asarray(measured(case).values), axis=0)) > 1, "every row got the same value"


@pytest.mark.parametrize("case", NAMES)
def test_part_size_never_changes_a_value(case: str, world: World, measured: Callable, store: Store):
    other = values_of(world, case, store, part_size=64).values
    np.testing.assert_allclose(
        measured(case).values, other, rtol=1e-4, atol=1e-6, err_msg="rows see their neighbours: is padding masked?"
    )


@pytest.mark.parametrize("case", NAMES)
def test_a_shuffled_pool_shuffles_the_values(case: str, world: World, measured: Callable, store: Store):
    shuffled = np.random.default_rng(5).permutation(len(world.pool))
    moved = values_of(world, case, store, pool=world.pool.take(shuffled), part_size=7).values
    kept = np.zeros(len(world.pool), dtype=np.int64) - 1
    usable = world.build(case).usable(world.pool)
    rows = np.arange(len(world.pool)) if usable is None else np.flatnonzero(usable)
    kept[rows] = np.arange(len(rows))
    back = kept[shuffled]
    wanted = measured(case).values[back[back >= 0]]
    np.testing.assert_allclose(
        moved, wanted, rtol=1e-4, atol=1e-6, err_msg="it draws (or trains) by position: draw by row id"
    )


class _Killed(Exception):
    pass


class _UpTo(Local):
    """Does every part, then dies before the seal."""

    def map(self, fn, parts) -> None:
        super().map(fn, parts)
        raise _Killed


@pytest.mark.parametrize("case", NAMES)
def test_interrupted_it_goes_on_to_the_same_bytes(case: str, world: World, measured: Callable, store: Store):
    with pytest.raises(_Killed):
        values_of(world, case, store, part_size=7, mapper=_UpTo())
    (folder,) = store.root.glob("*.part")
    done = sorted(folder.glob("[0-9]*.json"))
    assert len(done) > 2
    for number, path in enumerate(done):
        if number % 2:
            path.unlink()
            path.with_suffix(".npy").unlink()
    again = values_of(world, case, store, part_size=64).values  # the size of the first run is kept
    assert np.asarray(again).tobytes() == np.asarray(measured(case).values).tobytes()
    assert not list(store.root.glob("*.part")), "what is finished is not called .part"


@pytest.mark.parametrize("case", NAMES)
def test_it_pickles_and_so_does_its_state(case: str, world: World, measured: Callable, tmp_path: Path):
    signal = world.build(case)
    assert pickle.loads(pickle.dumps(signal)) == signal
    rows = world.rows(world.pool, signal)
    state = signal.prepare(rows, world.target, tmp_path / "own")
    sent = pickle.dumps(state)
    assert len(sent) < 1_000_000, "what is large goes into the signal's own folder"
    values = signal.measure(pickle.loads(sent), rows.slice(0, 7))
    np.testing.assert_allclose(values, measured(case).values[:7], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_price_grows_with_the_load(case: str, world: World):
    signal = world.build(case)
    small = signal.sizes(world.pool, world.target)
    assert small.n == len(world.pool)
    large = Load(**{f.name: 2 * getattr(small, f.name) for f in fields(Load)})
    before, after = vars(signal.cost(small)), vars(signal.cost(large))
    for name, value in before.items():
        assert 0 <= value <= after[name]
    assert max(before.values()) == 0 or any(after[name] > before[name] for name in before)


@pytest.mark.parametrize("case", CASES)
def test_the_price_is_within_a_factor_of_two_of_what_ran(case: str, measured: Callable):
    receipt = measured(case).receipt
    if receipt.estimated_flops == 0:
        assert receipt.flops == 0, "FLOPs ran that nobody was told of"
    else:
        assert 0.5 <= receipt.flops / receipt.estimated_flops <= 2.0


@pytest.mark.parametrize("name", NAMES)
def test_only_models_and_examples_lack_a_default(name: str):
    cls = registry.get("signals", name)
    needed = {f.name for f in fields(cls) if f.default is f.default_factory}  # both MISSING
    assert needed <= {*MODELS, *cls.example}, "give the field a default, or the class an `example`"


@pytest.mark.parametrize("case", NAMES)
def test_the_key_holds_every_field_and_only_the_inputs_that_matter(case: str, world: World, store: Store):
    signal = world.build(case)
    key = store.key(signal, pool=world.pool.fingerprint, **signal.identity())
    assert key == store.key(pickle.loads(pickle.dumps(signal)), pool=world.pool.fingerprint, **signal.identity())
    assert key != store.key(signal, pool=world.target.fingerprint, **signal.identity())
    for field in fields(signal):
        value = getattr(signal, field.name)
        if isinstance(value, (bool, int, float)) and field.name not in signal.identity():
            share = isinstance(value, float) and 0 < value <= 1
            changed = (not value) if isinstance(value, bool) else value / 2 if share else value + 1
            other = replaced(signal, **{field.name: changed})
            assert store.key(other, pool=world.pool.fingerprint, **signal.identity()) != key, field.name
