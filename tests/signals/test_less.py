"""LESS: hand-computed steps, planted rows, and the laws of METHODS 1.6.1."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import load_file, save_file
from warm import copied, epochs_of, planted, target, trained, warmup

from thresher import pipeline
from thresher.compute import meter
from thresher.compute.local import Local
from thresher.core.method import Signal
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import FieldError, KindError, ModelError, NonFinite, PoolError
from thresher.models import gradient
from thresher.models.fresh import fresh_model
from thresher.models.load import encoded
from thresher.signals import _keeping
from thresher.signals._adam_shape import shape_
from thresher.signals._checkpoints import Run
from thresher.signals._kept import bytes_per_row, spearman
from thresher.signals._row_features import directions
from thresher.signals.length import Length
from thresher.signals.less import Less
from thresher.signals.loss import Loss
from thresher.signals.row_gradients import RowGradients
from thresher.signals.similarity import Similarity


@pytest.fixture(scope="module")
def pool() -> Pool:
    return planted(120, 0.5)[0]


@pytest.fixture(scope="module")
def grouped(pool: Pool) -> Pool:
    """A target of unequal groups: spelling, and counting."""
    near = target(3)
    rows = [*near.messages(), list(pool.messages())[int(np.flatnonzero(~planted(120, 0.5)[1])[0])]]
    return Pool.from_messages(rows, ["b", "b", "b", "a"], ids=["t0", "t1", "t2", "t3"], name="grouped")


@pytest.fixture(scope="module")
def model(tiny_model: str, cache: Path) -> str:
    return trained(tiny_model, cache / "trained-on-counting")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Where one warm-up serves the whole file."""
    return Store(tmp_path_factory.mktemp("less"))


@pytest.fixture(scope="module")
def run(model: str, pool: Pool, shared: Store) -> Run:
    pipeline.measure(warmup(model), pool, store=shared)
    return Run.read(epochs_of(shared.root))


def scores(signal: Signal, pool: Pool, near: Pool, store: Store, **how: Any) -> np.ndarray:
    return np.asarray(pipeline.measure(signal, pool, near, store=store, **how).values)


# -- the shape


def test_two_steps_of_adam_by_hand():
    """g1 = (1, -2), then g2 = (3, 0): moments as the optimiser has them after g1, the shape of g2."""
    first, second = torch.tensor([0.1, -0.2]), torch.tensor([0.001, 0.004])  # 0.1 g1, 0.001 g1^2
    found = shape_(torch.tensor([[3.0, 0.0]]), first, second)
    # m' = 0.9 m + 0.1 g2 = (0.39, -0.18);  v' = 0.999 v + 0.001 g2^2 = (0.009999, 0.003996)
    assert_allclose(found.numpy(), [[0.39 / np.sqrt(0.009999 + 1e-8), -0.18 / np.sqrt(0.003996 + 1e-8)]], rtol=1e-6)


def test_the_shape_is_what_the_optimiser_would_do_next():
    """But for its bias correction, which LESS leaves out, and its epsilon, which it puts inside."""
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0, -1.0]))
    optimiser = torch.optim.AdamW([parameter], lr=1.0, eps=0.0, weight_decay=0.0)
    for g in ([0.5, -1.0, 2.0], [1.5, 0.25, -1.0]):
        parameter.grad = torch.tensor(g)
        before = parameter.detach().clone()
        if optimiser.state:
            own = optimiser.state[parameter]
            ours = shape_(torch.tensor([g]), own["exp_avg"].clone(), own["exp_avg_sq"].clone())[0]
        optimiser.step()
    theirs = (before - parameter.detach()) * (1 - 0.9**2) / np.sqrt(1 - 0.999**2)
    assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4)


def test_epsilon_inside_and_outside_order_rows_differently_where_v_is_tiny():
    gradients = torch.tensor([[1e-5, 0.0], [0.0, 3e-7]])
    none, tiny = torch.zeros(2), torch.tensor([1e-12, 1e-16])
    inside, outside = (
        shape_(gradients.clone(), none, tiny, epsilon_inside=where).abs().sum(dim=1) for where in (True, False)
    )
    assert inside[0] > 30 * inside[1], "1e-4 rules below the root: as good as plain gradients"
    assert outside[0] < 1.2 * outside[1], "1e-8 lets each number be divided by its own size"


def test_the_shape_does_not_depend_on_how_many_columns_are_done_at_once(monkeypatch: pytest.MonkeyPatch):
    g, m, v = torch.randn(3, 50), torch.randn(50), torch.rand(50)
    whole = shape_(g.clone(), m, v)
    monkeypatch.setattr("thresher.signals._adam_shape.COLUMNS", 7)
    assert torch.equal(shape_(g.clone(), m, v), whole)


# -- the warm-up


def test_moments_are_kept_by_name_and_are_the_optimisers(run: Run):
    names = sorted(run.adapters(0))
    assert all("lora_" in name for name in names)
    for number in (0, 1):
        first, second = run.moments(number, names)
        assert len(first) == sum(v.numel() for v in run.adapters(number).values())
        assert (second >= 0).all()
        assert second.max() > 0
        assert first.abs().max() > 0
    assert not torch.equal(run.moments(0, names)[0], run.moments(1, names)[0])
    assert run.steps == 6, "two epochs of three steps"
    assert run.rates[0] > run.rates[1] > 0
    assert_allclose(run.weights((0, 1)), np.array(run.rates) / sum(run.rates))


def test_rows_are_drawn_by_id(model: str, pool: Pool, run: Run, shared: Store):
    drawn = np.flatnonzero(pipeline.measure(warmup(model), pool, store=shared).values)
    assert len(drawn) == 24
    assert {pool.ids()[i] for i in drawn} == set(run.rows)
    moved = pool.take(np.random.default_rng(1).permutation(len(pool)))
    assert {moved.ids()[i] for i in warmup(model)._drawn(moved)} == set(run.rows)


class _Killed(Exception):
    pass


def test_killed_between_epochs_the_warm_up_goes_on_to_the_same_bytes(
    model: str, pool: Pool, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = warmup(model)
    plain = _keeping._Keep.on_step_end

    def dies(self, args, state, control, **rest):
        if state.global_step == 4:  # after the Trainer's checkpoint of the first epoch
            raise _Killed
        return plain(self, args, state, control, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(_keeping._Keep, "on_step_end", dies)
        with pytest.raises(_Killed):
            whole.prepare(pool, None, tmp_path)
    with meter.block("all") as block:
        again = whole.prepare(pool, None, tmp_path)
    for number in (1, 2):
        for name in ("adapters", "moments"):
            mine = (Path(again.folder) / str(number) / f"{name}.safetensors").read_bytes()
            assert mine == (Path(run.folder) / str(number) / f"{name}.safetensors").read_bytes()
    assert again.rates == run.rates
    assert block.flops == pytest.approx(run.flops, rel=1e-9), "the killed process's epoch is in the bill"
    assert not (Path(again.folder) / "training").exists()


# -- directions and scores


def test_directions_have_length_one(run: Run, model: str, pool: Pool, shared: Store):
    how = Less(warmup=warmup(model), dimensions=64)._reading()
    for shape in ("adam", "plain", "adam-epsilon-outside"):
        for places, x in directions(run, 1, pool.slice(0, 9), shape, how):
            assert x.shape == (len(places), 64)
            assert_allclose(x.norm(dim=1).numpy(), 1, rtol=1e-5)


def test_one_checkpoint_of_weight_one_is_the_plain_cosine(run: Run, model: str, pool: Pool, shared: Store):
    signal = Less(warmup=warmup(model), shape="plain", checkpoints="last", projection="none", per="row")
    got = scores(signal, pool, target(), shared)
    network = run.on(model).network(1)
    x, y = (
        gradient.per_example(network, 0, encoded(model, rows, 96), slice(None)).numpy() for rows in (pool, target())
    )
    want = (x @ y.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(y, axis=1)
    assert_allclose(got, want, atol=1e-5)


def test_scores_are_the_weighted_sum_over_checkpoints(run: Run, model: str, pool: Pool, shared: Store):
    signal = Less(warmup=warmup(model), projection="none", per="row")
    got = scores(signal, pool, target(), shared)
    want = np.zeros_like(got)
    for number, weight in enumerate(run.weights((0, 1))):
        side = {}
        for name, rows, shape in (("x", pool, "adam"), ("y", target(), "plain")):
            parts = list(directions(run.on(model), number, rows, shape, signal._reading()))
            order = np.argsort(np.concatenate([places for places, _ in parts]))
            side[name] = torch.cat([x.clone() for _, x in parts]).numpy()[order]
        want += weight * side["x"] @ side["y"].T
    assert_allclose(got, want, atol=1e-5)
    assert (np.abs(got) <= 1 + 1e-5).all()


def test_group_means_first_equals_means_afterwards_with_unequal_groups(
    model: str, pool: Pool, grouped: Pool, shared: Store
):
    by_row = scores(Less(warmup=warmup(model), dimensions=128, per="row"), pool, grouped, shared)
    by_group = scores(Less(warmup=warmup(model), dimensions=128), pool, grouped, shared)
    assert by_group.shape == (len(pool), 2)
    assert_allclose(by_group, np.stack([by_row[:, 3], by_row[:, :3].mean(axis=1)], axis=1), atol=1e-5)
    assert_allclose(by_group.max(axis=1), np.maximum(by_row[:, 3], by_row[:, :3].mean(axis=1)), atol=1e-5)


def test_parts_and_order_change_nothing(model: str, pool: Pool, shared: Store, store: Store):
    signal = Less(warmup=warmup(model), dimensions=64)
    whole = scores(signal, pool, target(), shared)
    order = np.random.default_rng(2).permutation(len(pool))
    moved = scores(signal, pool.take(order), target(), store, part_size=11)
    assert_allclose(moved, whole[order], atol=1e-5)


def test_the_feature_form_gives_the_same_affinity(model: str, pool: Pool, shared: Store):
    """What k-nearest-neighbour selectors measure distances with."""
    warm = warmup(model)
    pair = Similarity(
        of=RowGradients(warmup=warm, dimensions=128), target_of=RowGradients(warmup=warm, dimensions=128, shape="plain")
    )
    want = scores(Less(warmup=warm, dimensions=128, per="row"), pool, target(), shared)
    assert_allclose(scores(pair, pool, target(), shared), want, atol=1e-5)


# -- kept directions


@pytest.mark.parametrize(("keep", "least"), [("float32", 0.9999), ("bf16", 0.999), ("int8", 0.99), ("sign", 0.8)])
def test_stored_equals_storeless(keep: str, least: float, model: str, pool: Pool, shared: Store):
    plain = Less(warmup=warmup(model), dimensions=512)
    storeless = scores(plain, pool, target(), shared)
    found = pipeline.measure(replace(plain, keep=keep), pool, target(), store=shared)
    assert spearman(storeless[:, 0], found.values[:, 0]) >= least
    if keep == "float32":
        assert_allclose(found.values, storeless, atol=1e-6)
    said = found.manifest["account"]["kept"]
    assert said["spearman"] == pytest.approx(spearman(storeless.max(axis=1), found.values.max(axis=1)), abs=1e-3)
    assert said["rows"] == len(pool)
    expected = 2 * len(pool) * bytes_per_row(keep, 512)
    assert expected <= said["bytes"] <= expected + 2048 * 2, "the formula, and a header for each file"


def test_kept_directions_serve_the_next_selector_and_are_charged_to_it(model: str, pool: Pool, shared: Store):
    first = Less(warmup=warmup(model), dimensions=96, keep="int8")
    one = pipeline.measure(first, pool, target(), store=shared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thresher.signals.less.directions", None)  # the pool is not read again
        two = pipeline.measure(replace(first, per="row"), pool, target(), store=shared)
    assert_allclose(two.values.mean(axis=1), one.values[:, 0], atol=1e-5)
    assert two.receipt.flops == pytest.approx(one.receipt.flops, rel=0.01)


def test_the_cap_on_the_disk_holds(model: str, pool: Pool, shared: Store, store: Store, monkeypatch):
    monkeypatch.setattr("thresher.signals.less.PART", 30)
    plain = Less(warmup=warmup(model), dimensions=128, keep="int8")
    cap = 2.5 * 30 * 2 * bytes_per_row("int8", 128)
    capped = pipeline.measure(replace(plain, disk_cap=cap), pool, target(), store=store, part_size=30)
    assert 0 < capped.manifest["account"]["kept"]["bytes"] <= cap + 1024
    assert_allclose(capped.values, scores(plain, pool, target(), shared), atol=1e-6)


# -- planted rows


def test_rows_like_the_target_come_first_and_before_loss_and_random(model: str, pool: Pool, shared: Store):
    near = planted(120, 0.5)[1]
    ours = scores(Less(warmup=warmup(model), dimensions=512), pool, target(), shared).max(axis=1)
    first = near[np.argsort(-ours)[:60]]
    assert first.mean() > 0.9
    loss = np.asarray(pipeline.measure(Loss(model=model), pool, store=shared).values)
    random = np.random.default_rng(0).random(len(pool))
    assert reciprocal(ours, near) > 1.2 * max(reciprocal(s, near) for s in (loss, -loss, random))


def test_five_in_a_hundred_are_found(tiny_model: str, model: str, store: Store):
    pool, near = planted(200, 0.05)
    ours = scores(Less(warmup=warmup(model, share=0.1), dimensions=512), pool, target(), store).max(axis=1)
    assert near.sum() == 10
    assert near[np.argsort(-ours)[:10]].mean() > 0.8


def reciprocal(score: np.ndarray, near: np.ndarray) -> float:
    """Mean reciprocal rank of the planted rows."""
    rank = np.empty(len(score))
    rank[np.argsort(-score, kind="stable")] = np.arange(1, len(score) + 1)
    return float((1 / rank[near]).mean())


# -- the bill


def alike(n: int) -> Pool:
    """Rows of one length: nothing is padded."""
    rows = [
        [{"role": "user", "content": "Name it."}, {"role": "assistant", "content": "It is this one here."}]
        for _ in range(n)
    ]
    return Pool.from_messages(rows, name="alike")


def test_the_price_is_what_the_meter_counts(model: str, store: Store):
    rows, near = alike(16), alike(4)
    near = Pool.from_messages(list(near.messages()), ids=["a", "b", "c", "d"])
    for signal in (
        warmup(model, share=0.5),
        Less(warmup=warmup(model, share=0.5), dimensions=64),
        Less(warmup=warmup(model, share=0.5), dimensions=64, projection="rademacher", checkpoints="last", per="row"),
        RowGradients(warmup=warmup(model, share=0.5), dimensions=64),
    ):
        receipt = pipeline.measure(signal, rows, near, store=store).receipt
        assert receipt.flops == pytest.approx(receipt.estimated_flops, rel=0.03)


def test_memory_is_said_before_and_disk_is_a_formula(model: str, pool: Pool, grouped: Pool, shared: Store):
    plain = Less(warmup=warmup(model), dimensions=64)
    sizes = plain.sizes(pool, grouped)
    assert (sizes.k, sizes.d) == (2, 64)
    assert plain.cost(sizes).disk_bytes == 4 * 120 * 2 + 4 * 2 * 2 * 64
    kept = replace(plain, keep="int8").cost(sizes)
    assert kept.disk_bytes == plain.cost(sizes).disk_bytes + 120 * 2 * (64 + 4)
    about = pipeline.measure(plain, pool, target(), store=shared).manifest["account"]
    assert about["memory_estimate"] > 4 * about["p"]
    assert about["d"] == 64


# -- shards


def test_shards_joined_are_the_whole(model: str, pool: Pool, shared: Store, store: Store):
    from thresher.cli.measure import _Nothing, _Share
    from thresher.errors import StoreError

    signal = Less(warmup=warmup(model), dimensions=64)
    whole = scores(signal, pool, target(), store, part_size=13)
    other = Store(store.root.parent / "shards")
    for number in (1, 3):
        share = _Share(number, 3, Local())
        assert pipeline.measure_shard(signal, pool, target(), store=other, mapper=share, part_size=13)
        assert share.done == [i for i in range(10) if i % 3 == number - 1]
    with pytest.raises(StoreError, match=r"3 parts are not measured yet \(numbers 1, 4, 7\)"):
        pipeline.measure(signal, pool, target(), store=other, mapper=_Nothing(), part_size=13)
    pipeline.measure_shard(signal, pool, target(), store=other, mapper=_Share(2, 3, Local()), part_size=13)
    joined = pipeline.measure(signal, pool, target(), store=other, mapper=_Nothing(), part_size=13)
    assert np.asarray(joined.values).tobytes() == whole.tobytes()
    assert not pipeline.measure_shard(signal, pool, target(), store=other, mapper=Local(), part_size=13)


# -- bad input


def test_another_signal_is_no_warm_up(model: str):
    with pytest.raises(KindError, match="reads the checkpoints of a warmup, not a length"):
        Less(warmup=Length(model=model))


def test_nothing_to_take_gradients_of(model: str):
    with pytest.raises(ModelError, match="no parameter's name contains 'lora_'"):
        gradient.trainable(fresh_model(model))


def test_a_checkpoint_without_optimiser_state_names_the_method_that_needs_none(
    run: Run, model: str, pool: Pool, store: Store, tmp_path: Path
):
    bare = copied(Path(run.folder), tmp_path / "bare")
    (bare / "1" / "moments.safetensors").unlink()
    given = warmup(model, run=str(bare))
    with pytest.raises(ModelError, match=r"checkpoint .*1 has no optimiser state for 16 of 16 .*take less:sgd"):
        scores(Less(warmup=given), pool, target(), store)
    assert np.isfinite(scores(Less(warmup=given, shape="plain"), pool, target(), store)).all()


def test_a_given_run_is_read_and_not_paid_for(run: Run, model: str, pool: Pool, shared: Store, store: Store, tmp_path):
    given = warmup(model, run=str(copied(Path(run.folder), tmp_path / "given")))
    found = pipeline.measure(Less(warmup=given, dimensions=64), pool, target(), store=store)
    assert found.below is not None
    assert found.below.receipt.flops == 0
    want = scores(Less(warmup=warmup(model), dimensions=64), pool, target(), shared)
    assert_allclose(found.values, want, atol=1e-6)


def test_another_base_model_than_the_one_recorded(run: Run, model: str, pool: Pool, store: Store, tmp_path: Path):
    other = trained(model, tmp_path / "other")
    given = warmup(other, run=str(copied(Path(run.folder), tmp_path / "given")))
    with pytest.raises(ModelError, match="whose weights are not those of"):
        scores(Less(warmup=given), pool, target(), store)
    with pytest.raises(ModelError, match="holds no finished warm-up"):
        warmup(other, run=str(tmp_path / "nowhere")).checkpoints()


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_gradient_that_is_zero_or_not_finite(
    value: float, run: Run, model: str, pool: Pool, store: Store, tmp_path: Path
):
    broken = copied(Path(run.folder), tmp_path / "broken")
    for path in broken.glob("*/adapters.safetensors"):
        save_file({name: torch.full_like(v, value) for name, v in load_file(path).items()}, path)
    with pytest.raises(NonFinite, match=r"gradient that is zero or not finite|are not numbers"):
        scores(Less(warmup=warmup(model, run=str(broken))), pool, target(), store)


def cut_off(grouped: Pool, group: str) -> Pool:
    """One more row, of this group: its prompt alone fills the window."""
    long = [{"role": "user", "content": "count " * 600}, {"role": "assistant", "content": "no"}]
    groups = [grouped.group_names[g] for g in grouped.group_index()]
    return Pool.from_messages([*grouped.messages(), long], [*groups, group], ids=[*grouped.ids(), "long"], name="cut")


def test_a_target_row_whose_answer_was_cut_off_is_said_and_is_no_part_of_its_groups_mean(
    model: str, pool: Pool, grouped: Pool, shared: Store
):
    signal = Less(warmup=warmup(model), dimensions=64)
    whole = pipeline.measure(signal, pool, grouped, store=shared)
    cut = pipeline.measure(signal, pool, cut_off(grouped, "b"), store=shared)
    assert_allclose(cut.values, whole.values, atol=1e-6)
    assert cut.manifest["account"]["target_rows_left_out"] == ["long"]
    assert whole.manifest["account"]["target_rows_left_out"] == []


def test_a_target_group_without_an_answer_within_the_window(model: str, pool: Pool, grouped: Pool, shared: Store):
    with pytest.raises(PoolError, match=r"1 of 3 target groups have no row with anything to read .*first .*long"):
        pipeline.measure(Less(warmup=warmup(model), dimensions=64), pool, cut_off(grouped, "c"), store=shared)


def test_a_cap_that_holds_no_part_is_refused_before_anything_runs(model: str, pool: Pool, store: Store):
    signal = Less(warmup=warmup(model), keep="int8", dimensions=64, disk_cap=1000.0)
    with pytest.raises(FieldError, match=r"disk_cap of 1e\+03 bytes holds no part: 120 rows of 2 x 64 numbers as int8"):
        signal.sizes(pool, target())


def test_affinities_larger_than_allowed(model: str, pool: Pool):
    with pytest.raises(PoolError, match="max_bytes is 100"):
        Less(warmup=warmup(model), per="row", max_bytes=100.0).sizes(pool, target())


def test_a_share_of_less_than_a_step(model: str, pool: Pool, store: Store):
    with pytest.raises(PoolError, match=r"0.005 of 120 rows is less than one step: set share to at least 0.0084"):
        pipeline.measure(warmup(model, share=0.005), pool, store=store)
    for share in (0.0, 1.5):
        with pytest.raises(FieldError, match="above 0 and at most 1"):
            warmup(model, share=share)


def test_the_card_says_what_the_run_was(model: str, pool: Pool, shared: Store):
    about = pipeline.measure(Less(warmup=warmup(model), dimensions=64), pool, target(), store=shared).manifest[
        "account"
    ]
    assert about["warmup"]["rows"] == 24
    assert about["warmup"]["lora"]["r"] == 4
    assert about["checkpoints"] == [1, 2]
    assert sum(about["weights"]) == pytest.approx(1)
    json.dumps(about)
