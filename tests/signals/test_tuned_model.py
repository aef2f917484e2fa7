"""A scorer is trained once: for every signal that reads with it, and of a target for every pool."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher import pipeline
from thresher.compute import bill
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.signals._tuning import Tuning
from thresher.signals.aligned_path import AlignedPath
from thresher.signals.confidence import Confidence
from thresher.signals.loss import Loss

SHORT = Tuning(on="pool", rows=8, batch_size=2)


def trained(found: pipeline.Measured):
    assert found.below is not None
    return found.below.receipt


def test_the_second_signal_finds_the_scorer_trained(tiny_model: str, tiny_pool: Pool, store: Store):
    both = [Loss(model=tiny_model, tuning=SHORT), Confidence(model=tiny_model, tuning=SHORT)]
    first, second = (pipeline.measure(signal, tiny_pool, store=store) for signal in both)
    assert trained(first).flops > 0
    assert not trained(first).shared
    assert trained(second).shared
    assert trained(second).flops == trained(first).flops, "it is charged, and said to be shared"
    assert second.receipt.flops < 1.5 * first.receipt.flops, "the training is in no signal's own receipt"
    assert first.below.values.sum() == 8, "1 for the rows it was trained on"
    alone = [bill.price_of([signal], tiny_pool, None).flops for signal in both]
    once = both[0].inner().cost(both[0].inner().sizes(tiny_pool, None)).flops
    assert bill.price_of(both, tiny_pool, None).flops == pytest.approx(sum(alone) - once)


def test_another_tuning_is_another_scorer(tiny_model: str, tiny_pool: Pool, store: Store):
    found = [
        pipeline.measure(Loss(model=tiny_model, tuning=replace(SHORT, seed=seed)), tiny_pool, store=store)
        for seed in (0, 1)
    ]  # fmt: skip
    assert not trained(found[1]).shared
    assert not np.array_equal(found[0].values, found[1].values)


WARM = Tuning(on="target", epochs=10.0, steps=50, until=0.8, learning_rate=1e-2, lora=8, batch_size=4)


@pytest.fixture(scope="module")
def pools() -> tuple[Pool, Pool]:
    """Rows of two formats, and a target in the first one."""

    def row(i: int, like: bool) -> list[dict[str, str]]:
        answer = f"ANSWER: {i + 1} ({i})." if like else f"It may well be {i} or so, who knows."
        return [{"role": "user", "content": f"What comes after {i}?"}, {"role": "assistant", "content": answer}]

    return (
        Pool.from_messages([row(i, i % 2 == 0) for i in range(24)], name="mixed"),
        Pool.from_messages([row(i, True) for i in range(100, 112)], ids=[f"t{i}" for i in range(12)], name="target"),
    )


def test_rows_in_the_targets_format_gain_and_another_pool_reuses_the_warm_up(tiny_model, pools, store: Store):
    pool, target = pools
    signal = AlignedPath(model=tiny_model, tuning=WARM, dtype="float32")
    first = pipeline.measure(signal, pool, target, store=store)
    like = np.arange(24) % 2 == 0
    assert first.values[like].min() > first.values[~like].max()
    again = pipeline.measure(signal, pool.take([3, 4, 5]), target, store=store)
    assert trained(again).shared, "the warm-up belongs to the target"
    assert again.receipt.flops < first.receipt.flops / 4
    assert_allclose(again.values, first.values[[3, 4, 5]], rtol=1e-4)


def test_no_warm_up_gives_zeros_and_raw_is_without_the_normaliser(tiny_model, pools):
    pool, _ = pools
    signal = AlignedPath(model=tiny_model, tuning=WARM)
    assert_allclose(signal.measure(tiny_model, pool), 0.0)
    assert replace(signal, relative=False) != signal


def test_it_is_ended_by_the_first_of_three_rules(tiny_model, pools, store: Store, tmp_path):
    """Steps, epochs, or an epoch whose loss drop is too small."""
    from thresher.training.loss_drop import LossDrop

    assert WARM.limited(12).steps is None, "10 epochs of 3 steps"
    assert WARM.limited(100).steps == 50, "50 steps are less than 10 epochs of 25"
    stop, seen = LossDrop(0.8), []
    for mean in (4.0, 3.0, 2.1, 1.4, 0.7):
        stop._seen(0, np.zeros(2, np.int64), np.full((2, 3), mean))
        control = type("Control", (), {"should_training_stop": False})()
        stop.on_epoch_end(None, None, control)
        seen.append(control.should_training_stop)
    assert seen == [False, False, False, True, True], "drops of 1, 0.9 and 0.7: the last is below 80% of the first"
