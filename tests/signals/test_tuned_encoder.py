"""An encoder tuned on the target: learnt, charged, done once, the same when killed, and asked for by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher import building, methods, pipeline
from thresher.compute import bill, meter
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import FieldError, PoolError
from thresher.models import encoder
from thresher.signals._tuned_encoder import EncoderTuning, TunedEncoder
from thresher.signals.embed import Embed
from thresher.signals.got_d import GotD
from thresher.training import contrast

SHORT = EncoderTuning(on="target", epochs=2, batch_size=8, learning_rate=3e-3)
WORDS = {"sea": ["tide", "keel", "mast", "rope", "sail", "oar"], "farm": ["barn", "hay", "cow", "seed", "goat", "pig"]}


def pool_of(texts: list[str], name: str) -> Pool:
    rows = [[{"role": "text", "content": text}] for text in texts]
    return Pool.from_messages(rows, ids=[f"{name}-{i}" for i in range(len(rows))], name=name)


def lines(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[("sea", "farm")[i % 2]], 8)) for i in range(n)]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return pool_of(lines(20, 0), "pool")


@pytest.fixture(scope="module")
def target() -> Pool:
    return pool_of(lines(24, 1), "target")


def test_it_learns_to_tell_texts_apart_and_is_charged_as_said(tiny_encoder, pool, target, store: Store):
    plain, tuned = Embed(encoder=tiny_encoder), Embed(encoder=tiny_encoder, tuning=replace(SHORT, epochs=8))
    found = pipeline.measure(tuned, pool, target, store=store)
    assert found.below is not None
    training = found.below.receipt
    assert training.kind == "train"
    assert 1.0 <= training.flops / training.estimated_flops <= 1.5, "padding comes on top of the price"
    about = found.manifest["account"]["tuning"]
    assert about["flops"] == training.flops
    assert about["steps"] == 8 * 3
    assert about["loss"][-1] < 0.8 * about["loss"][0]
    as_it_was = pipeline.measure(plain, pool, target, store=store)
    assert as_it_was.below is None
    assert np.abs(found.values - as_it_was.values).max() > 0.05
    both = bill.price_of([tuned], pool, target).flops - bill.price_of([plain], pool, target).flops
    assert both == pytest.approx(training.estimated_flops), "charged before it runs"
    assert sum(receipt.flops for receipt in found.receipts().values()) == training.flops + found.receipt.flops


def test_another_pool_finds_it_tuned_and_another_target_or_seed_does_not(tiny_encoder, pool, target, store: Store):
    signal = Embed(encoder=tiny_encoder, tuning=SHORT)
    first = pipeline.measure(signal, pool, target, store=store)
    again = pipeline.measure(signal, pool.take([3, 4]), target, store=store)
    assert again.below.receipt.shared
    assert_allclose(again.values, first.values[[3, 4]], atol=1e-6)
    for other, near in ((replace(signal, tuning=replace(SHORT, seed=1)), target), (signal, target.take(range(12)))):
        found = pipeline.measure(other, pool, near, store=store)
        assert found.key != first.key
        assert not found.below.receipt.shared
        assert np.abs(found.values - first.values).max() > 1e-4


def test_the_order_of_the_target_and_its_copies_change_nothing(tiny_encoder, target, tmp_path: Path):
    signal = Embed(encoder=tiny_encoder, tuning=SHORT).inner()
    turned = target.take([*range(23, -1, -1), 3, 3, 3])
    signal.prepare(target, None, tmp_path / "a")
    signal.prepare(turned, None, tmp_path / "b")
    a, b = ((tmp_path / name / "encoder" / contrast.WEIGHTS).read_bytes() for name in "ab")
    assert a == b


class _Killed(Exception):
    pass


@pytest.mark.parametrize("where", ["in training", "before it is said to be done"])
def test_killed_it_comes_to_the_same_bytes_and_the_same_bill(
    where, tiny_encoder, pool, target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    signal = Embed(encoder=tiny_encoder, tuning=SHORT)
    whole = pipeline.measure(signal, pool, target, store=Store(tmp_path / "whole"))
    store = Store(tmp_path / "store")

    def killed(*_: object, **__: object) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(*(contrast, "save_model") if where == "in training" else (Store, "note"), killed)
        with pytest.raises(_Killed):
            pipeline.measure(signal, pool, target, store=store)
    again = pipeline.measure(signal, pool, target, store=store)
    assert np.asarray(again.values).tobytes() == np.asarray(whole.values).tobytes()
    assert again.below.receipt.flops == whole.below.receipt.flops


def test_transport_rests_on_it_and_charges_it_once(tiny_encoder, pool, target, store: Store):
    overrides = {"tuning.on": "target", "tuning.epochs": 2, "tuning.batch_size": 8, "tuning.learning_rate": 3e-3}
    signals, _ = building.build(
        methods.get("got-d"), model=None, scorer=None, encoder=tiny_encoder, overrides=overrides
    )  # fmt: skip
    signal = signals[0]
    assert signal.of == Embed(encoder=tiny_encoder, tuning=SHORT)
    found = pipeline.measure(signal, pool, target, store=store)
    receipts = found.receipts()
    assert [receipt.stage for receipt in receipts.values()] == ["tuned_encoder", "embed", "got_d"]
    assert found.manifest["account"]["of"]["tuned_on"] == "target"
    plain = pipeline.measure(GotD(of=Embed(encoder=tiny_encoder)), pool, target, store=store)
    own = [one.receipt.flops - one.receipt.estimated_flops for one in (found, plain)]
    assert abs(own[0] - own[1]) < 0.5 * list(receipts.values())[0].flops, "the target is read, not trained on again"
    assert np.abs(found.values - plain.values).max() > 1e-4


def test_what_cannot_be(tiny_encoder, pool, store: Store):
    signal = Embed(encoder=tiny_encoder, tuning=SHORT)
    with pytest.raises(PoolError, match="target"):
        pipeline.measure(signal, pool, store=store)
    with pytest.raises(PoolError, match="tell its texts apart, and alone has 1"):
        pipeline.measure(signal, pool, pool_of(["tide", "tide"], "alone"), store=store)
    for wrong in ({"epochs": 0}, {"batch_size": 1}, {"temperature": 0.0}, {"piece": 1.5}, {"learning_rate": -1.0}):
        with pytest.raises(FieldError, match=next(iter(wrong))):
            EncoderTuning(**wrong)


def test_pieces_are_shares_of_the_text_within_the_special_tokens(tiny_encoder, target):
    tokens = encoder.tokenise(tiny_encoder, target.text(), 96)
    rng = np.random.default_rng(0)
    cut = contrast._pieces(tokens, np.array([2, 5]), (1, 2), replace(SHORT, piece=0.4), rng)
    for place, row in enumerate([2, 5, 2, 5]):
        whole, piece = tokens.row(row)[0], cut.row(place)[0]
        inner = whole[1:-2]
        assert len(piece) == 3 + int(np.ceil(0.4 * len(inner))) == replace(SHORT, piece=0.4).lengths(
            np.array([len(whole)]), 3
        )  # fmt: skip
        assert piece[0] == whole[0]
        assert piece[-2:].tolist() == whole[-2:].tolist()
        windows = np.lib.stride_tricks.sliding_window_view(inner, len(piece) - 3)
        assert (windows == piece[1:-2]).all(axis=1).any()


def test_labels_say_what_was_read(tiny_encoder, tmp_path: Path):
    rows = pool_of(["tide keel", "", "tide keel", "barn"], "rows")
    signal = TunedEncoder(encoder=tiny_encoder, max_tokens=96, pooling="mean", tuning=SHORT)
    with meter.block("x") as block:
        state = signal.prepare(rows, None, tmp_path)
    assert signal.measure(state, rows).tolist() == [1, 0, 1, 1]
    with meter.block("x") as again:
        signal.prepare(rows, None, tmp_path)
    assert again.flops == block.flops > 0, "what was there is charged too"


def test_fields_of_a_training_that_will_not_happen_are_refused(tiny_encoder: str):
    with pytest.raises(FieldError, match=r"tuning.epochs would change nothing, for tuning.on is none. Add tuning.on"):
        Embed(encoder=tiny_encoder, tuning=EncoderTuning(epochs=7))
    Embed(encoder=tiny_encoder, tuning=EncoderTuning(on="target", epochs=7))
