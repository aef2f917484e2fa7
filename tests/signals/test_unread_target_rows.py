"""A target row whose answer lies outside the window is as good as not there: left out, said, written on the card."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from warm import counting, planted, spelling, trained

from thresher import building, choosing, methods, pipeline
from thresher.compute.cost_model import CostModel
from thresher.compute.hardware import Hardware
from thresher.compute.local import Local
from thresher.core.budget import Budget
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import PoolError
from thresher.inspecting.transport import _space, signal_of
from thresher.nearest import nearest_targets
from thresher.pipeline import Selection
from thresher.pricing import price
from thresher.reasons import reasons
from thresher.run import run
from thresher.setting import Setting, Sources
from thresher.signals.rds import RDS
from thresher.signals.similarity import Similarity
from thresher.spec import Spec
from thresher.tariff import split

WINDOW, BUDGET = 96, Budget(9.0, "examples")
LONG = [{"role": "user", "content": "count " * 600}, {"role": "assistant", "content": "no"}]
WARM = {"share": 0.5, "epochs": 1, "lora": 4, "alpha": 16, "batch_size": 8, "learning_rate": 1e-3}
PROXY = {"points": 4, "epochs": 1.0, "batch_size": 8, "micro_batch": 8, "learning_rate": 1e-3}
RDS_LINE = {"name": "rds", "model": "@scorer"}
NAMED: dict[str, Mapping[str, Any]] = {
    "rds+": {}, "doubly-greedy": {}, "knn-uniform": {}, "knn-kde": {}, "uot": {},
    "less": {**WARM, "dimensions": 64}, "less:round-robin": {**WARM, "dimensions": 64}, "gist": WARM, "cld": PROXY,
}  # fmt: skip
OWN = {
    "got-d": methods.Method("got-d", ({"name": "got_d", "of": RDS_LINE},), {"name": "top_k", "highest": False}),
    "by group": methods.Method(
        "by group", ({"name": "similarity", "of": RDS_LINE},), {"name": "mean_affinity"}, by_group=True
    ),
}
METHODS = [*NAMED, *OWN]
GROUPED = ["less", "gist", "cld", "by group"]  # groups are columns


@pytest.fixture(scope="module")
def pool() -> Pool:
    return planted(48, 0.5)[0]


@pytest.fixture(scope="module")
def model(tiny_model: str, cache: Path) -> str:
    return trained(tiny_model, cache / "trained-on-counting")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Where one warm-up, and the pool's features, serve the whole file."""
    return Store(tmp_path_factory.mktemp("unread"))


def target_of(*, long: str = "", **more: str) -> Pool:
    """Six rows in two groups; `long` puts an over-long row of that group third, and so does each of `more` at the end.

    Its place is before others, so that a column counted wrongly gives another row's name.
    """
    rows = [(f"t{i}", spelling(i) if i % 2 else counting(i), "ab"[i % 2]) for i in range(6)]
    rows[2:2] = [("long", LONG, long)] if long else []
    rows += [(name, LONG, group) for name, group in more.items()]
    ids, messages, groups = zip(*rows, strict=True)
    return Pool.from_messages(messages, groups, ids=ids, name="near")


def chosen(case: str, pool: Pool, target: Pool, model: str, store: Store) -> tuple[Selection, list[str]]:
    """What a method chooses, and the reasons it gives."""
    method = OWN.get(case) or methods.get(case)
    fields = {"max_tokens": WINDOW, **NAMED.get(case, {})}
    signals, selector = building.build(method, model=model, scorer=model, encoder=None, overrides=fields)
    nowhere = CostModel(Hardware("none", 1.0, 1.0, 0.0, 0.0, ""))
    free = pipeline.Prices(np.ones(len(pool), np.int64), np.ones(len(pool)), nowhere)
    found = pipeline.select(
        signals, selector, pool, target, budget=BUDGET, prices=free, seed=0, store=store,
        by_group=method.by_group,
    )  # fmt: skip
    by_group = method.by_group or any(signal.per_group for signal in signals)
    return found, reasons(found, selector, by_group, len(pool))


@pytest.mark.parametrize("case", METHODS)
def test_it_is_as_if_the_row_had_been_removed_by_hand(
    case: str, pool: Pool, model: str, shared: Store, caplog: pytest.LogCaptureFixture
):
    by_hand, said_by_hand = chosen(case, pool, target_of(), model, shared)
    with caplog.at_level(logging.WARNING, "thresher"):
        found, said = chosen(case, pool, target_of(long="a"), model, shared)
    assert_array_equal(found.subset.index, by_hand.subset.index)
    assert_array_equal(found.subset.gain, by_hand.subset.gain)
    for name, values in by_hand.values.items():
        assert_array_equal(found.values[name], values)
    assert said == said_by_hand, "a column is called by another target row's name"
    assert nearest_targets(found, pool) == nearest_targets(by_hand, pool)
    assert found.estimate == by_hand.estimate, "what is not read is on no bill"
    first = next(iter(found.accounts))
    assert found.accounts[first]["target_rows_left_out"] == ["long"]
    assert by_hand.accounts[first]["target_rows_left_out"] == []
    (warning,) = [record.getMessage() for record in caplog.records if "target rows" in record.getMessage()]
    assert "near: 1 of 7 target rows have nothing to read within 96 tokens (" in warning
    assert "first id 'long'. To have them read raise " in warning
    assert ".max_tokens" in warning


@pytest.mark.parametrize("case", ["rds+", "less", "cld"])
def test_plans_count_what_is_read(case: str, pool: Pool, model: str):
    fields = {"max_tokens": WINDOW, **NAMED[case]}
    signals, _ = building.build(methods.get(case), model=model, scorer=model, encoder=None, overrides=fields)
    assert split(signals, pool, target_of(long="a")) == split(signals, pool, target_of())


@pytest.mark.parametrize("case", METHODS)
def test_a_target_with_nothing_to_read_at_all_is_refused(case: str, pool: Pool, model: str, store: Store):
    bare = target_of(long="a").take([2])
    with pytest.raises(PoolError, match=r"none of 1 target rows has anything to read within 96 tokens .* first id 'lo"):
        chosen(case, pool, bare, model, store)
    assert not list(store.root.glob("*-*")), "before anything is measured"


@pytest.mark.parametrize("case", METHODS)
def test_a_group_with_nothing_to_read_is_refused_where_groups_are_columns(
    case: str, pool: Pool, model: str, shared: Store
):
    lost = target_of(x="c", y="c")
    if case not in GROUPED:
        assert chosen(case, pool, lost, model, shared)[0].target.ids() == target_of().ids()
        return
    with pytest.raises(PoolError, match=r"1 of 3 target groups have no row with anything to read .* first that of 'x'"):
        chosen(case, pool, lost, model, shared)


def test_a_wider_window_gives_the_row_its_column(pool: Pool, model: str, shared: Store):
    target, wide = target_of(long="a"), Similarity(of=RDS(model=model, max_tokens=4096))
    narrow = pipeline.measure(Similarity(of=RDS(model=model, max_tokens=WINDOW)), pool, target, store=shared)
    assert narrow.values.shape == (48, 6)
    assert wide.usable_target(target).all()
    assert pipeline.measure(wide, pool, target, store=shared).values.shape == (48, 7)


def test_groups_joined_to_one_text_are_read_or_not_as_one(pool: Pool, model: str, shared: Store):
    joined = Similarity(of=RDS(model=model, max_tokens=WINDOW), join_groups=True)
    assert joined.usable_target(target_of(long="a")).tolist() == [True] * 7
    assert pipeline.measure(joined, pool, target_of(long="a"), store=shared).values.shape == (48, 2)


def test_shards_leave_out_the_same_rows(pool: Pool, model: str, shared: Store, store: Store):
    signal, target = Similarity(of=RDS(model=model, max_tokens=WINDOW)), target_of(long="b")
    assert pipeline.measure_shard(signal, pool, target, store=store, mapper=Local())
    found = pipeline.measure(signal, pool, target, store=store)
    assert found.manifest["account"]["target_rows_left_out"] == ["long"]
    assert_array_equal(found.values, pipeline.measure(signal, pool, target_of(), store=shared).values)


def rows_file(path: Path, rows: Pool) -> str:
    lines = [{"id": name, "messages": said} for name, said in zip(rows.ids(), rows.messages(), strict=True)]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return str(path)


def test_a_run_with_such_a_row_goes_to_its_end(pool: Pool, tmp_path: Path):
    rows_file(tmp_path / "pool.jsonl", pool)
    rows_file(tmp_path / "near.jsonl", target_of(long="a"))
    rows_file(tmp_path / "test.jsonl", target_of())
    spec = Spec.from_dict(
        {
            "pool": "pool.jsonl", "target": "near.jsonl", "model": "scratch:50k", "scorer": "scratch:20k",
            "methods": [{"method": "rds+", "set": {"rds.max_tokens": WINDOW}}], "budgets": ["6 rows"], "seeds": [0],
            "workers": 1, "dtype": "float32",
            "recipe": {"learning_rate": 1e-3, "batch_size": 4, "micro_batch": 4, "max_tokens": 64},
            "tasks": [{"task": "near", "data": "test.jsonl", "measure": "held_out"}],
        }, folder=tmp_path,
    )  # fmt: skip
    out = run(spec, tmp_path / "out", store=Store(tmp_path / "store"))
    assert price(spec, Setting.open(spec.sources, store=Store(tmp_path / "store")))["arms"][0]["not_priced"] == ""
    (path,) = out.rglob("card.json")
    card = json.loads(path.read_text())
    assert card["accounts"]["similarity"]["target_rows_left_out"] == ["long"]
    assert card["target"]["rows"] == 7
    assert json.loads((path.parent / "nearest.json").read_text()), "columns are the rows that were read"


def test_a_choice_by_transport_is_inspected_near_the_rows_that_were_read(pool: Pool, model: str, tmp_path: Path):
    sources = Sources(
        pool=rows_file(tmp_path / "pool.jsonl", pool), target=(rows_file(tmp_path / "n.jsonl", target_of(long="a")),),
        scorer=model,
    )  # fmt: skip
    setting = Setting.open(sources, store=Store(tmp_path / "store"))
    signals, selector = building.build(
        OWN["got-d"], model=model, scorer=model, encoder=None, overrides={"max_tokens": WINDOW}
    )
    found, _ = chosen("got-d", setting.pool, setting.target, model, setting.store)
    choice = choosing.Choice(setting, OWN["got-d"], signals, selector, found, "9 rows", 0, {})
    near = _space(choice, signal_of(choice)).near
    assert len(near) == 6
    assert np.isfinite(near).all()
