"""Signal meets pool, selector meets budget: what is charged, what is kept, what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from thresher import pipeline
from thresher.compute.cost_model import CostModel
from thresher.compute.hardware import Hardware
from thresher.core.budget import Budget
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal, name_of
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import BudgetError, KindError, NonFinite, PoolError
from thresher.selectors.filtered_uniform import FilteredUniform
from thresher.selectors.gumbel_top_k import GumbelTopK
from thresher.selectors.k_center import KCenter
from thresher.selectors.max_affinity import MaxAffinity
from thresher.selectors.mean_affinity import MeanAffinity
from thresher.selectors.stratified import Stratified
from thresher.selectors.top_k import TopK
from thresher.selectors.uniform import Uniform
from thresher.signals.group import Group
from thresher.signals.hashed_ngrams import HashedNgrams

calls: list[int] = []


@dataclass(frozen=True, kw_only=True)
class Number(Signal):
    """The number in a row's id; a hundred FLOPs each."""

    broken: str = ""
    kind: ClassVar[Kind] = "score"

    def cost(self, load: Load) -> Cost:
        return Cost(flops=100.0 * load.n)

    def measure(self, state: None, rows: Pool) -> np.ndarray:
        calls.append(len(rows))
        return np.array([np.nan if name == self.broken else float(name.split("-")[1]) for name in rows.ids()])


@dataclass(frozen=True, kw_only=True)
class Nearness(Signal):
    """One more than the distance of two numbers, below one."""

    kind: ClassVar[Kind] = "affinity"
    needs_target: ClassVar[bool] = True

    def cost(self, load: Load) -> Cost:
        return Cost()

    def prepare(self, pool: Pool, target: Pool | None, folder) -> np.ndarray:
        return np.array([float(name.split("-")[1]) for name in target.ids()])

    def measure(self, state: np.ndarray, rows: Pool) -> np.ndarray:
        own = np.array([float(name.split("-")[1]) for name in rows.ids()])
        return 1.0 / (1.0 + np.abs(own[:, None] - state[None]))


def prices(n: int, flops: float = 50.0) -> pipeline.Prices:
    hardware = Hardware("test", 1e12, 1e11, 1e9, 1.0, "")
    return pipeline.Prices(np.arange(1, n + 1), np.full(n, flops), CostModel(hardware))


def choose(pool: Pool, store: Store, budget: Budget, **more):
    arguments = {"signals": [Number()], "selector": TopK(), "prices": prices(len(pool)), "seed": 0} | more
    return pipeline.select(
        arguments.pop("signals"), arguments.pop("selector"), pool, budget=budget, store=store, **arguments
    )


def test_the_second_time_nothing_is_measured_and_the_receipt_says_so(tiny_pool: Pool, store: Store):
    first = pipeline.measure(Number(), tiny_pool, store=store, part_size=16)
    calls.clear()
    again = pipeline.measure(Number(), tiny_pool, store=store)
    assert calls == []
    assert not first.receipt.shared
    assert again.receipt.shared
    np.testing.assert_array_equal(first.values, again.values)
    calls.clear()
    pipeline.measure(Number(), tiny_pool.slice(0, 20), store=store)
    pipeline.measure(Number(broken="x"), tiny_pool, store=store)
    assert calls == [20, 40], "another pool or another field is another measurement"


def test_selection_is_deducted_before_rows_are_chosen(tiny_pool: Pool, store: Store):
    """40 rows at 100 FLOPs to score leave 1000 of 5000: twenty rows at 50."""
    chosen = choose(tiny_pool, store, Budget(5000.0, "flops"))
    assert chosen.spent == 4000.0
    assert chosen.subset.index.tolist() == list(range(39, 19, -1))
    again = choose(tiny_pool, store, Budget(5000.0, "flops"))
    assert again.spent == 4000.0, "what an earlier command paid for is charged all the same"
    assert again.receipts[0].shared


def test_rows_and_tokens_do_not_pay_for_selection(tiny_pool: Pool, store: Store):
    assert len(choose(tiny_pool, store, Budget(7.0, "examples")).subset) == 7
    chosen = choose(tiny_pool, store, Budget(79.0, "tokens"))  # the highest rows have 40 and 39 tokens
    assert chosen.subset.index.tolist() == [39, 38]
    assert chosen.spent == 0.0


def test_nothing_left_and_nothing_that_fits_are_said_before_anything_is_measured(tiny_pool: Pool, store: Store):
    calls.clear()
    with pytest.raises(BudgetError, match="nothing is left for training.*choosing alone costs 4000 flops"):
        choose(tiny_pool, store, Budget(4000.0, "flops"))
    with pytest.raises(BudgetError, match="no row fits: the cheapest costs 50 flops.*20 flops is left"):
        choose(tiny_pool, store, Budget(4020.0, "flops"))
    assert calls == []


def test_excluded_rows_have_no_number_no_price_and_no_chance(tiny_pool: Pool, store: Store):
    chosen = choose(tiny_pool, store, Budget(3.0, "examples"), excluded={39: "why not", 37: "nor this"})
    assert chosen.subset.index.tolist() == [38, 36, 35]
    assert len(chosen.kept) == len(chosen.values["test_pipeline"]) == 38
    assert chosen.excluded == {39: "why not", 37: "nor this"}
    with pytest.raises(PoolError, match="no row can be chosen; the first reason: no"):
        choose(tiny_pool, store, Budget(3.0, "examples"), excluded=dict.fromkeys(range(40), "no"))


def test_an_affinity_is_averaged_inside_each_group_first(tiny_pool: Pool, store: Store):
    """Three target rows near row 5 and one near row 30: by row five wins, by group both count alike."""
    said = list(tiny_pool.messages())[:4]
    target = Pool.from_messages(said, ["a", "a", "a", "b"], ids=["t-5", "t-5", "t-5", "t-30"], name="target")
    by = {"signals": [Nearness()], "prices": prices(40), "target": target}
    rows = choose(tiny_pool, store, Budget(40.0, "examples"), selector=MeanAffinity(), **by)
    groups = choose(tiny_pool, store, Budget(40.0, "examples"), selector=MeanAffinity(), by_group=True, **by)
    assert rows.subset.index[0] == 5
    assert set(groups.subset.index[:2]) == {5, 30}
    near = 1 / (1 + np.abs(np.arange(40)[:, None] - np.array([5.0, 30.0])))
    np.testing.assert_allclose(groups.subset.gain, near.mean(axis=1)[groups.subset.index])
    one = choose(tiny_pool, store, Budget(2.0, "examples"), selector=MaxAffinity(), by_group=True, **by)
    assert sorted(one.subset.index) == [5, 30]
    assert set(one.subset.column) == {0, 1}, "columns are groups"


def test_a_value_that_is_not_finite_stops_and_names_the_row(tiny_pool: Pool, store: Store):
    with pytest.raises(NonFinite, match=r"1 of 8 rows, first ids \['row-17'\]"):
        pipeline.measure(Number(broken="row-17"), tiny_pool, store=store, part_size=8)
    assert not [p for p in store.root.glob("test_pipeline-*") if p.suffix != ".part"], "no finished measurement"


def test_kinds_that_do_not_fit_and_a_missing_target(tiny_pool: Pool, store: Store):
    with pytest.raises(KindError, match=r"max_affinity chooses by \['affinity'\], but was given \['score'\]"):
        choose(tiny_pool, store, Budget(3.0, "examples"), selector=MaxAffinity())
    with pytest.raises(PoolError, match="needs|Name one with --target"):
        pipeline.measure(Nearness(), tiny_pool, store=store)


@pytest.mark.parametrize("selector", [Uniform(), FilteredUniform(), GumbelTopK(), Stratified()], ids=name_of)
def test_what_is_drawn_hangs_on_ids_and_not_on_the_order_of_the_pool(selector, tiny_pool: Pool, store: Store):
    """METHODS 1.1: permuting the pool permutes the answer, also of what draws."""
    signals = {(): [], ("score",): [Number()], ("label",): [Group()]}[selector.needs]
    shuffled = np.random.default_rng(2).permutation(len(tiny_pool))
    answers = []
    for pool in (tiny_pool, tiny_pool.take(shuffled)):
        chosen = choose(pool, store, Budget(12.0, "examples"), signals=signals, selector=selector).subset
        answers.append([pool.ids()[i] for i in chosen.index])
    assert answers[0] == answers[1]
    assert answers[0] != sorted(answers[0])


def test_the_pools_order_is_kept_where_it_is_asked_for(tiny_pool: Pool, store: Store):
    moved = tiny_pool.take(np.arange(len(tiny_pool))[::-1])
    plain = choose(moved, store, Budget(9.0, "examples"), signals=[], selector=Uniform(shuffle=False))
    assert plain.subset.index.tolist() == list(range(9))


def test_what_choosing_itself_costs_is_on_the_receipt(tiny_pool, store):
    """k-center reads every feature once a choice: 2 n k d, which no model's meter sees."""
    n = len(tiny_pool)
    model = CostModel(Hardware("none", 1.0, 1.0, 0.0, 0.0, ""))
    prices = pipeline.Prices(np.ones(n, dtype=np.int64), np.ones(n), model)
    chosen = pipeline.select(
        [HashedNgrams(d=64)], KCenter(), tiny_pool, budget=Budget(5.0, "examples"), prices=prices, seed=0, store=store
    )
    assert chosen.receipts[-1].flops >= 2 * n * 5 * 64


@dataclass(frozen=True, kw_only=True)
class Dear(Number):
    """The same, at the price of a large model's gradients."""

    def cost(self, load: Load) -> Cost:
        return Cost(flops=1e12 * load.n)


def test_dear_work_is_cut_into_smaller_parts():
    """What a kill loses, and what a worker takes at a time, is some work, not some rows."""
    assert pipeline.rows_a_part(Cost(), 1_000_000) == pipeline.PART
    assert pipeline.rows_a_part(Cost(flops=1e10), 2000) == pipeline.PART
    assert pipeline.rows_a_part(Cost(flops=1e14), 2000) == pipeline.LEAST_PART
    for flops in (5e12, 1e14, 3e14, 1e15, 1e17):
        size = pipeline.rows_a_part(Cost(flops=flops), 500_000)
        assert size & (size - 1) == 0
        assert pipeline.LEAST_PART <= size <= pipeline.PART
        assert size == pipeline.LEAST_PART or flops / 500_000 * size <= pipeline.PART_FLOPS


def test_a_short_dear_pool_is_measured_in_several_parts(tiny_pool: Pool, store: Store):
    rows = tiny_pool.take([i % len(tiny_pool) for i in range(600)])
    found = pipeline.measure(Dear(broken="none of them"), rows, store=store)
    assert found.manifest["part_size"] == 256
    assert pipeline.measure(Number(), rows, store=store).manifest["part_size"] == pipeline.PART
    assert found.values.tolist() == pipeline.measure(Number(), rows, store=store).values.tolist()
