"""Similarity is a cosine, is measured from stored features, and is billed with what is shared counted once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from thresher import pipeline
from thresher.compute import bill
from thresher.core.budget import Budget
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import KindError, NonFinite, PoolError
from thresher.selectors.mean_affinity import MeanAffinity
from thresher.selectors.round_robin import RoundRobin
from thresher.selectors.top_k import TopK
from thresher.signals.embed import Embed
from thresher.signals.hashed_ngrams import HashedNgrams
from thresher.signals.length import Length
from thresher.signals.similarity import Similarity


def pool_of(*texts: str, groups=None) -> Pool:
    rows = [[{"role": "user", "content": "Q"}, {"role": "assistant", "content": t}] for t in texts]
    return Pool.from_messages(rows, groups)


WORDS = ["red apple", "green pear", "blue sea", "red apple tart", "deep blue sea", "nothing else"]
POOL = pool_of(*WORDS)
TARGET = pool_of("red apple", "blue sea", "green sea", groups=["fruit", "water", "water"])


def prices(n: int) -> pipeline.Prices:
    from thresher.compute.cost_model import CostModel
    from thresher.compute.hardware import Hardware

    return pipeline.Prices(np.ones(n, np.int64), np.ones(n), CostModel(Hardware("none", 1.0, 1.0, 0.0, 0.0, "")))


def choose(signals, selector, store: Store, pool: Pool = POOL, target: Pool = TARGET, **how):
    return pipeline.select(
        signals,
        selector,
        pool,
        target,
        budget=Budget(2.0, "examples"),
        prices=prices(len(pool)),
        seed=0,
        store=store,
        **how,
    )


def test_it_is_the_cosine_of_the_features(store: Store):
    feature = pipeline.measure(HashedNgrams(), POOL, store=store).values
    near = HashedNgrams().measure(HashedNgrams().prepare(POOL, None, store.root / "own"), TARGET)
    want = [[x @ z / np.linalg.norm(x) / np.linalg.norm(z) for z in near] for x in feature]
    found = pipeline.measure(Similarity(), POOL, TARGET, store=store)
    assert_allclose(found.values, want, atol=1e-6)
    assert found.values.dtype == np.float32
    assert_allclose(found.values[0, 0], 1, rtol=1e-6, err_msg="a pool row that is a target row has affinity 1")


def test_scale_and_rotation_of_features_change_nothing(tiny_encoder):
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(6, 8)).astype(np.float32), rng.normal(size=(3, 8)).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    from thresher.signals._cosine import unit
    from thresher.signals.similarity import Near

    def against(x, z):
        return Similarity().measure_over(Near(None, unit(z, TARGET), None), POOL, x)

    plain = against(x, z)
    assert_allclose(against(7 * x, z / 3), plain, atol=1e-6)
    assert_allclose(against(x @ turn, z @ turn), plain, atol=1e-6)


def test_the_mean_over_a_group_is_had_while_measuring(store: Store):
    rows = pipeline.measure(Similarity(), POOL, TARGET, store=store).values
    groups = pipeline.measure(Similarity(per="group"), POOL, TARGET, store=store).values
    assert_allclose(groups, np.stack([rows[:, 0], rows[:, 1:].mean(axis=1)], axis=1), atol=1e-6)
    one = choose([Similarity()], MeanAffinity(), store, by_group=True)
    other = choose([Similarity(per="group")], MeanAffinity(), store, by_group=True)
    assert_allclose(one.values["similarity"], other.values["similarity"], atol=1e-6)
    assert one.subset.index.tolist() == other.subset.index.tolist()


@pytest.mark.parametrize("target", [TARGET.take([0]), TARGET.take([0, 1]), pool_of("red apple")])
def test_a_single_target_row_or_member_is_enough(store: Store, target: Pool):
    for by_group in (False, True):
        found = choose([Similarity()], RoundRobin(), store, target=target, by_group=by_group)
        assert found.subset.index[0] == 0


def test_one_text_a_group_gives_a_column_a_group(store: Store):
    found = pipeline.measure(Similarity(join_groups=True), POOL, TARGET, store=store).values
    assert found.shape == (6, 2)
    assert found[4].argmax() == 1


def test_columns_of_groups_come_as_the_reasons_name_them():
    """Rows without a group first: `np.unique` puts their -1 there, and what names columns follows it."""
    from thresher.signals._texts import group_texts

    rows = [[{"role": "text", "content": word}] for word in ("first", "second", "third")]
    target = Pool.from_messages(rows, ["b", "a", "b"])
    table = target.table.set_column(2, "group", pa.array(["b", None, "a"], pa.large_string()))
    texts = group_texts(replace(target, table=table))
    assert [next(word for word in ("first", "second", "third") if word in text) for text in texts] == [
        "second", "third", "first"
    ]  # fmt: skip


def test_a_target_may_be_read_with_another_prefix(tiny_encoder, store: Store):
    of, target_of = Embed(encoder=tiny_encoder), Embed(encoder=tiny_encoder, prefix="Find: ")
    plain = pipeline.measure(Similarity(of=of), POOL, TARGET, store=store)
    other = pipeline.measure(Similarity(of=of, target_of=target_of), POOL, TARGET, store=store)
    assert not np.allclose(plain.values, other.values, atol=1e-4)
    assert other.below.receipt.shared, "the pool's feature has no prefix and is shared"
    assert other.below.key == plain.below.key


def test_an_embedding_is_measured_once_for_all_methods(tiny_encoder, store: Store):
    embed = Embed(encoder=tiny_encoder)
    first = choose([Similarity(of=embed)], MeanAffinity(), store)
    paid, on_top, _ = first.receipts
    assert (paid.stage, paid.shared) == ("embed", False)
    assert (on_top.stage, on_top.shared) == ("similarity", False)
    assert 0.5 < (paid.flops + on_top.flops) / first.estimate.flops < 2

    again = choose([Similarity(of=embed)], RoundRobin(), store)
    assert [(r.stage, r.shared, r.flops) for r in again.receipts[:2]] == [
        ("embed", True, paid.flops),
        ("similarity", True, on_top.flops),
    ]
    both = pipeline.select(
        [Length(), embed], _Both(), POOL, budget=Budget(2.0, "examples"), prices=prices(6), seed=0, store=store
    )
    assert [(r.stage, r.shared) for r in both.receipts[:2]] == [("length", False), ("embed", True)]


class _Both(TopK):
    """A score and a feature, of which only the score is used."""

    needs = ("score", "feature")

    def choose(self, score, feature, *, price, budget, rng):
        return super().choose(score, price=price, budget=budget, rng=rng)


def test_a_feature_that_two_signals_rest_on_is_billed_once(tiny_encoder, store: Store):
    embed = Embed(encoder=tiny_encoder)
    signals = [Similarity(of=embed), embed]
    alone = bill.price_of([embed], POOL, TARGET).flops
    assert bill.price_of(signals, POOL, TARGET).flops == pytest.approx(
        alone + Similarity(of=embed).cost(Similarity(of=embed).sizes(POOL, TARGET)).flops
    )
    measured = [pipeline.measure(signal, POOL, TARGET, store=store) for signal in signals]
    found = bill.receipts(m.receipts() for m in measured)
    assert [(r.stage, r.shared) for r in found] == [("embed", False), ("similarity", False)]


def test_over_its_byte_budget_it_says_what_would_fit(store: Store):
    small = Similarity(max_bytes=50.0)
    with pytest.raises(
        PoolError, match=r"6 rows to 3 targets are 72 bytes.*fewer target rows, set per = group.*max_bytes"
    ):
        pipeline.measure(small, POOL, TARGET, store=store)
    with pytest.raises(PoolError, match="fewer target rows, or raise max_bytes"):
        pipeline.measure(Similarity(max_bytes=40.0, per="group"), POOL, TARGET, store=store)
    assert pipeline.measure(Similarity(max_bytes=50.0, per="group"), POOL, TARGET, store=store).values.shape == (6, 2)


def test_an_encoder_of_another_dimension_is_refused(store: Store):
    signal = Similarity(of=HashedNgrams(d=64), target_of=HashedNgrams(d=32))
    with pytest.raises(KindError, match="has 64 dimensions and the target's has 32"):
        pipeline.measure(signal, POOL, TARGET, store=store)


def test_only_features_are_compared():
    with pytest.raises(KindError, match="compares features, and length measures a score"):
        Similarity(of=Length())


def test_features_that_are_no_numbers_stop_and_name_rows(store: Store):
    signal = Similarity()
    state = signal.prepare(POOL, TARGET, store.root / "own")
    values = np.ones((6, 4096), np.float32)
    values[4] = np.inf
    with pytest.raises(NonFinite, match=r"1 rows are not numbers, first ids \['row-4'\]"):
        signal.measure_over(state, POOL, values)


def test_target_rows_without_a_word_have_no_column(tiny_encoder, store: Store):
    signal = Similarity(of=Embed(encoder=tiny_encoder, text="answer"))
    found = pipeline.measure(signal, POOL, pool_of("", "a"), store=store)
    assert found.manifest["account"]["target_rows_left_out"] == ["row-0"]
    assert_array_equal(found.values, pipeline.measure(signal, POOL, pool_of("a"), store=store).values)
    with pytest.raises(PoolError, match=r"none of 1 target rows has anything to read, first id 'row-0'. Name another"):
        pipeline.measure(signal, POOL, pool_of(""), store=store)


def test_empty_texts_are_near_nothing(store: Store):
    pool = Pool.from_messages([[{"role": "text", "content": t}] for t in ("", "red apple", "...")])
    found = pipeline.measure(Similarity(), pool, TARGET, store=store).values
    assert not found[[0, 2]].any()
    assert found[1].any()


def test_regrouping_a_target_does_not_reuse_its_groups(store: Store):
    other = pool_of("red apple", "blue sea", "green sea", groups=["a", "a", "b"])
    one = pipeline.measure(Similarity(per="group"), POOL, TARGET, store=store)
    two = pipeline.measure(Similarity(per="group"), POOL, other, store=store)
    assert one.key != two.key
