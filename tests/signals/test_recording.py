"""A recording holds the losses of the living proxy, whatever the way it is made and however often it is killed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from thresher import pipeline
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import FieldError, NonFinite, PoolError, StoreError
from thresher.models.load import encoded, open_model
from thresher.signals._points import between, grid
from thresher.signals._recorded_files import Files
from thresher.signals.recording import Recording
from thresher.signals.trajectory import Trajectory
from thresher.training.sft import train


def evenly(total: int, points: int, **how):
    plain = {"spacing": "even", "every": 500, "stop": 1.0, "start": False}
    return grid(total, points=points, **{**plain, **how})


def test_points_end_with_the_run_and_published_ones_do_not():
    assert evenly(6141, 12).steps == tuple(int(j * 6141 / 12 + 0.5) for j in range(1, 13))
    assert evenly(6141, 12).steps[-1] == 6141
    assert evenly(6141, 12, spacing="every").steps == tuple(range(500, 6001, 500))
    assert evenly(60, 3, stop=0.5, start=True).steps == (0, 10, 20, 30)
    assert evenly(5, 5).steps == (1, 2, 3, 4, 5)


@pytest.mark.parametrize(("total", "points"), [(6141, 12), (20, 12), (12, 12), (100, 2), (7, 1)])
def test_points_a_factor_apart_are_distinct_and_end_with_the_run(total: int, points: int):
    steps = evenly(total, points, spacing="log").steps
    assert len(set(steps)) == points
    assert list(steps) == sorted(steps)
    assert steps[-1] == total
    assert steps[0] >= 1


@pytest.mark.parametrize("how", [{"points": 13}, {"points": 1, "spacing": "every", "every": 13}], ids=["T", "every"])
def test_more_points_than_steps_are_refused(how):
    with pytest.raises(FieldError, match="along 12 steps .* more epochs, or a smaller batch_size"):
        evenly(12, **how)


def test_a_sub_grid_has_its_ends_and_lines_between():
    found = evenly(120, 12, one_in=3)
    assert found.read == (10, 50, 80, 120)
    values = np.array([0.0, 4.0, 7.0, 11.0])[None, :, None] * [1.0, -2.0]  # at step s the value is s / 10 - 1
    steps = np.array(found.steps)
    want = (steps / 10 - 1)[None, :, None] * [1.0, -2.0]
    assert_allclose(between(np.array(found.read), steps, values), want, atol=1e-12)


@pytest.fixture
def signal(tiny_model: str) -> Recording:
    return Recording(
        model=tiny_model, points=3, include_start=True, epochs=2.0, batch_size=16, micro_batch=8, learning_rate=5e-3,
        dtype="float32",
    )  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("recordings"))


def losses(measured: pipeline.Measured) -> np.ndarray:
    return np.asarray(measured.values)[:, : measured.values.shape[1] // 3]


def one_by_one(path: str, pool: Pool) -> np.ndarray:
    """(n, 3) loss, probability and confidence of each row, read alone, from the definitions."""
    opened, tokens, found = open_model(path, dtype="float32"), encoded(path, pool, 512), []
    for i in range(len(pool)):
        ids, trained = tokens.row(i)
        ids = torch.from_numpy(ids.astype(np.int64))
        with torch.inference_mode():
            p = torch.softmax(opened.model(ids[None]).logits[0, :-1].double(), -1)[torch.from_numpy(trained[1:])]
        own = p.gather(1, ids[1:][torch.from_numpy(trained[1:])][:, None])[:, 0]
        found.append([float(-own.log().mean()), float(own.mean()), float(p.amax(1).mean())])
    return np.array(found)


def test_its_ends_are_the_untrained_and_the_trained_proxy_row_by_row(signal, tiny_pool, stores, tmp_path):
    found = pipeline.measure(signal, tiny_pool, store=stores)
    columns = np.asarray(found.values).reshape(len(tiny_pool), 3, 4)  # row, number, point
    assert_allclose(columns[:, :, 0], one_by_one(signal.model, tiny_pool), rtol=1e-5)
    rows = encoded(signal.model, tiny_pool, 512).take(signal.order(tiny_pool))
    train(signal.model, [(rows, signal.recipe())], seed=signal.seed, out=tmp_path / "proxy")
    assert_allclose(columns[:, :, -1], one_by_one(str(tmp_path / "proxy"), tiny_pool), rtol=1e-5)
    assert columns[:, 0, -1].mean() < columns[:, 0, 0].mean() - 0.3, "the proxy learns"
    assert found.manifest["account"]["steps"] == [0, 2, 4, 6]
    assert not (stores.own(found.key) / "proxy").exists(), "no model is kept"


def test_what_each_stage_took_is_on_the_receipt(signal, tiny_pool, stores):
    found = pipeline.measure(signal, tiny_pool, store=stores)
    by_stage = {receipt.stage: receipt for receipt in found.receipts().values()}
    trained, read = by_stage["recording: train proxy"], by_stage["recording: read rows"]
    assert trained.kind == "train"
    assert sum(receipt.flops for receipt in by_stage.values()) == pytest.approx(found.receipt.flops)
    for receipt in (trained, read):
        assert 0.7 < receipt.flops / receipt.estimated_flops < 1.6
    assert trained.estimated_flops + read.estimated_flops == pytest.approx(found.receipt.estimated_flops)


def test_a_sub_grid_is_the_passes_where_it_reads(signal, tiny_pool, stores):
    whole = losses(pipeline.measure(signal, tiny_pool, store=stores))
    some = losses(pipeline.measure(replace(signal, capture="grid"), tiny_pool, store=stores))
    assert_array_equal(some[:, [0, 1, 3]], whole[:, [0, 1, 3]])
    assert_allclose(some[:, 2], (some[:, 1] + some[:, 3]) / 2, rtol=1e-6)


def test_in_flight_equals_the_pass_made_before_the_same_step(signal, tiny_pool, stores):
    """All rows in one step: what training sees of them is what a pass before that step sees."""
    one = replace(signal, batch_size=40, micro_batch=40, points=2)
    passes = losses(pipeline.measure(one, tiny_pool, store=stores))  # before steps 1 and 2, and at the end
    flight = pipeline.measure(replace(one, capture="recorded", include_start=False), tiny_pool, store=stores)
    raw = Files(stores.own(flight.key)).in_flight(np.arange(len(tiny_pool)), centred=False)[..., 0]
    assert_allclose(raw, passes[:, :2], rtol=1e-4)
    assert_allclose(losses(flight), raw - raw.mean(axis=0), atol=1e-5, err_msg="less the mean of the step's rows")
    assert flight.receipt.flops < pipeline.measure(one, tiny_pool, store=stores).receipt.flops * 0.8
    assert flight.receipts()[f"{flight.key}/recording: read rows"].flops == 0


class _Killed(Exception):
    pass


KILLS = {  # which call of which method of Files, and whether it was done
    "at the second point, before it is marked": ("finish", {"passes": 2, "recorded": 2}, False),
    "at the second point, before the checkpoint": ("finish", {"passes": 2, "recorded": 2}, True),
    "as the last array is written": ("save", {"passes": 5, "recorded": 5}, False),
}


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.parametrize("capture", ["passes", "recorded"])
def test_killed_at_a_point_it_goes_on_to_the_same_bytes(
    capture, kill, signal, tiny_pool, stores, tmp_path, monkeypatch
):
    name, numbers, after = KILLS[kill]
    signal = replace(signal, capture=capture, include_start=False)
    whole = np.asarray(pipeline.measure(signal, tiny_pool, store=stores).values)
    plain, calls = getattr(Files, name), [0]

    def deadly(self, *arguments):
        calls[0] += 1
        if calls[0] == numbers[capture] and not after:
            raise _Killed
        plain(self, *arguments)
        if calls[0] == numbers[capture] and after:
            raise _Killed

    monkeypatch.setattr(Files, name, deadly)
    store = Store(tmp_path / "store")
    with pytest.raises(_Killed):
        pipeline.measure(signal, tiny_pool, store=store)
    monkeypatch.undo()
    again = pipeline.measure(signal, tiny_pool, store=store)
    assert np.asarray(again.values).tobytes() == whole.tobytes()
    assert not list(store.root.glob("**/checkpoint-*"))


def test_a_proxy_that_diverges_stops_with_step_rows_and_a_way_out(signal, tiny_pool, store: Store):
    wild = replace(signal, learning_rate=1e30)
    for capture in ("passes", "recorded"):
        one = replace(wild, capture=capture, include_start=capture == "passes")
        with pytest.raises(NonFinite, match=r"at step \d+ of 6 for .* first ids .*lower recording.learning_rate"):
            pipeline.measure(one, tiny_pool, store=store)
    assert list(store.root.glob("*.part/own/000000.json")), "the points before are kept"
    assert not [path for path in store.root.glob("recording-*") if path.suffix != ".part"]


def test_a_pool_that_has_changed_is_refused(signal, tiny_pool, stores, tmp_path):
    found = pipeline.measure(signal, tiny_pool, store=stores)
    own = stores.own(found.key)
    changed = [list(row) for row in tiny_pool.messages()]
    changed[7] = [changed[7][0], {"role": "assistant", "content": "Another answer."}]
    pool = Pool.from_messages(changed, tiny_pool.table["group"].to_pylist(), name="tiny")
    with pytest.raises(StoreError, match="the pool has changed since"):
        signal.prepare(pool, None, own)
    with pytest.raises(StoreError, match=r"1 of 10 rows are not in the recording .*'row-7'"):
        Trajectory(recording=signal).measure(str(own), pool.slice(0, 10))


def test_rows_cut_off_before_their_answer_are_named_and_never_zero(signal, tmp_path):
    rows = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
        for q, a in [("Why? " * 300, "So."), ("Why?", "So."), ("Why?", "")]
    ]
    pool = Pool.from_messages(rows)
    short = replace(signal, max_tokens=64, points=1)
    assert short.usable(pool).tolist() == [False, True, False]
    with pytest.raises(PoolError, match="without a trainable token in 64 tokens, first ids .'row-0', 'row-2'"):
        short.prepare(pool, None, tmp_path)


@pytest.mark.parametrize(
    "how",
    [{"proxy_rows": 7}, {"include_start": True}, {"epochs": 0.5}, {"steps": 1}, {"stop": 0.5}],
    ids=lambda how: next(iter(how)),
)
def test_recording_in_flight_wants_to_see_every_row(how, signal, tiny_pool):
    with pytest.raises(FieldError, match="recording in flight"):
        replace(signal, **{"capture": "recorded", "include_start": False, **how}).grid(len(tiny_pool))


def test_the_proxy_can_be_trained_on_some_rows_and_reads_all(signal, tiny_pool, stores):
    some = replace(signal, proxy_rows=16, points=1, include_start=False)
    found = pipeline.measure(some, tiny_pool, store=stores)
    assert len(found.values) == 40
    trained = found.receipts()[f"{found.key}/recording: train proxy"].tokens
    rows = encoded(some.model, tiny_pool, 512).take(some.order(tiny_pool)).lengths().sum()
    assert 2 * rows <= trained <= 2.5 * rows


def test_prices_are_those_of_the_table(signal, tiny_pool):
    plain = replace(signal, include_start=False)
    load = plain.sizes(tiny_pool, None)
    one = plain.passes_flops(load) / 3
    cost = {capture: replace(plain, capture=capture).cost(load).flops for capture in ("passes", "grid", "recorded")}
    assert cost["passes"] - cost["recorded"] == pytest.approx(3 * one)
    assert cost["grid"] - cost["recorded"] == pytest.approx(2 * one)
    assert replace(plain, stop=0.5).training_flops(load) == pytest.approx(cost["recorded"] / 2)
    assert replace(plain, include_start=True).cost(load).flops == pytest.approx(cost["passes"] + one)
