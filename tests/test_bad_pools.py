"""Every cheap method on pools and targets that are hardly any: it chooses by the rules, or says in words why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from thresher import building, methods, pipeline
from thresher.compute.cost_model import CostModel
from thresher.compute.hardware import Hardware
from thresher.core.budget import Budget
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import PoolError

METHODS = (
    "random", "random:balanced", "length-filter", "bm25", "bm25:ccds", "dsir", "dsir:groups", "embed",
    "embed:round-robin", "embed:hash", "rds+", "doubly-greedy", "knn-uniform", "knn-kde",
    "least-confidence", "entropy", "ifd", "superfilter", "grape", "facility-location", "facility-location:knn",
    "k-center", "deita-filter", "deita-filter:nearest-neighbour",
)  # fmt: skip
LEAVE_OUT = ("length-filter", "ifd", "superfilter", "grape", "deita-filter", "deita-filter:nearest-neighbour")
WITH_TARGET = tuple(name for name in METHODS if "target" in methods.get(name).needs)
BUDGET = 8.0


def row(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def plain(n: int) -> list[list[dict[str, str]]]:
    return [row(f"Where are {i} keys, and what is {i % 5} more?", "By the door. " * (1 + i % 4)) for i in range(n)]


EMPTY = (2, 5, 9)
POOLS = {
    "empty prompts and answers": [row("", "") if i in EMPTY else one for i, one in enumerate(plain(12))],
    "empty answers": [row(f"What is {i}?", "") if i in EMPTY else one for i, one in enumerate(plain(12))],
    "rows longer than every window": [row("keys", f"{i} doors " * (1500 + i)) for i in range(10)],
    "identical rows": [plain(1)[0]] * 12,
    "fewer rows than the budget, or than clusters": plain(3),
    "one row": plain(1),
}
TARGETS = {
    "one row": ([row("Where is my key?", "By the door.")], None),
    "a group of one row": (plain(5), ["a", "b", "b", "b", "b"]),
    "identical rows": ([plain(1)[0]] * 4, ["a", "a", "b", "b"]),
}


@pytest.fixture(scope="module")
def scorer(tiny_model: str, cache: Path) -> str:
    """A model that need not be tuned before it reads."""
    folder = cache / "not-a-random-start"
    if not folder.exists():
        shutil.copytree(tiny_model, folder)
        about = json.loads((Path(tiny_model) / "thresher.json").read_text())
        (folder / "thresher.json").write_text(json.dumps({**about, "random_start": False}))
    return str(folder)


def selected(name: str, pool: Pool, target: Pool, scorer: str, encoder: str, store: Store) -> pipeline.Selection:
    method = methods.get(name)
    signals, selector = building.build(method, model=scorer, scorer=scorer, encoder=encoder)
    n = len(pool)
    prices = pipeline.Prices(np.ones(n, np.int64), np.ones(n), CostModel(Hardware("test", 1e12, 1e11, 1e9, 1.0, "")))
    return pipeline.select(
        signals, selector, pool, target, budget=Budget(BUDGET, "examples"), prices=prices, seed=0, store=store,
        by_group=method.by_group,
    )  # fmt: skip


def by_the_rules(selection: pipeline.Selection, n: int) -> list[int]:
    index = selection.subset.index.tolist()
    assert len(set(index)) == len(index) <= BUDGET
    assert set(index) <= set(range(n)) - set(selection.excluded)
    assert np.isfinite(selection.subset.gain).all()
    for values in selection.values.values():
        assert np.isfinite(values).all()
    return index


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("name", METHODS)
def test_a_pool_that_is_hardly_one(name: str, kind: str, scorer: str, tiny_encoder: str, store: Store):
    rows = POOLS[kind]
    pool = Pool.from_messages(rows, ["even" if i % 2 else "odd" for i in range(len(rows))])
    target = Pool.from_messages(plain(20)[14:], ["a", "b"] * 3)
    if name == "length-filter" and kind == "rows longer than every window":  # it leaves out what was cut
        with pytest.raises(PoolError, match="no row can be chosen"):
            selected(name, pool, target, scorer, tiny_encoder, store)
        return
    selection = selected(name, pool, target, scorer, tiny_encoder, store)
    index = by_the_rules(selection, len(rows))
    if name not in LEAVE_OUT:
        assert len(index) == min(int(BUDGET), len(rows) - len(selection.excluded))
    if kind == "empty answers" and name in ("least-confidence", "entropy", "ifd", "grape"):
        assert set(EMPTY) <= set(selection.excluded), "nothing to predict: no number, and never chosen"


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", WITH_TARGET)
def test_a_target_that_is_hardly_one(name: str, kind: str, scorer: str, tiny_encoder: str, store: Store):
    pool, (rows, groups) = Pool.from_messages(plain(14)), TARGETS[kind]
    selection = selected(name, pool, Pool.from_messages(rows, groups), scorer, tiny_encoder, store)
    assert len(by_the_rules(selection, 14)) == BUDGET


@pytest.mark.parametrize("name", ["bm25", "dsir", "embed:hash"])
def test_a_pool_without_a_single_word(name: str, scorer: str, tiny_encoder: str, store: Store):
    pool, target = Pool.from_messages([row("", "")] * 9), Pool.from_messages(plain(4))
    if name == "dsir":
        with pytest.raises(PoolError, match="holds no word"):
            selected(name, pool, target, scorer, tiny_encoder, store)
        return
    selection = selected(name, pool, target, scorer, tiny_encoder, store)
    assert by_the_rules(selection, 9) == list(range(8)), "all are equally far: pool order"


@pytest.mark.parametrize("name", ["length-filter", "least-confidence", "ifd", "grape"])
def test_prompts_that_fill_the_window_leave_nothing_to_choose(name: str, scorer: str, tiny_encoder: str, store: Store):
    pool, target = Pool.from_messages([row("keys " * 2500, "By the door.")] * 4), Pool.from_messages(plain(4))
    with pytest.raises(PoolError, match="no row can be chosen"):
        selected(name, pool, target, scorer, tiny_encoder, store)
