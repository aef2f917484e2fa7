"""Training learns, is priced by what runs, repeats itself, and leaves ordinary folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import TrainerCallback

from thresher.core.pool import Pool
from thresher.errors import PoolError
from thresher.models import load
from thresher.models.loss import answer_loss
from thresher.training import collated
from thresher.training.origin import DONE
from thresher.training.recipe import Lora, Recipe, total_flops
from thresher.training.sft import train

FAST = Recipe(epochs=4.0, batch_size=8, micro_batch=8, learning_rate=5e-3, max_tokens=64)


def mean_loss(model: str, pool: Pool) -> float:
    sums, counts = answer_loss(model, pool, max_tokens=64)
    return float(sums.sum() / counts.sum())


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


class _Seen(TrainerCallback):
    """Counts optimiser steps."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def on_train_end(self, args, state, control, **kwargs) -> None:
        self.steps.append(state.global_step)


@pytest.fixture(scope="module")
def trained(tiny_model: str, tiny_pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "model"
    train(tiny_model, [(tiny_pool, FAST)], seed=1, out=out)
    return out


def test_the_loss_falls(trained: Path, tiny_model: str, tiny_pool: Pool):
    assert mean_loss(str(trained), tiny_pool) < 0.8 * mean_loss(tiny_model, tiny_pool)


def test_the_result_is_an_ordinary_folder_and_no_random_start(trained: Path):
    assert load.resolve(str(trained), cache=trained.parent) == str(trained)
    assert not load.about(str(trained))["random_start"]
    assert load.open_model(str(trained)).tokenizer.chat_template
    assert not list(trained.parent.glob("*.part"))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    trained: Path, tiny_model: str, tiny_pool: Pool, tmp_path: Path
):
    for seed, same in ((1, True), (2, False)):
        train(tiny_model, [(tiny_pool, FAST)], seed=seed, out=tmp_path / str(seed))
        mine, theirs = weights(tmp_path / str(seed)), weights(trained)
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine) == same


def test_a_finished_training_is_not_done_again(trained: Path, tiny_model: str, tiny_pool: Pool):
    before = {path: path.stat().st_mtime_ns for path in trained.iterdir()}
    receipt = train(tiny_model, [(tiny_pool, FAST)], seed=1, out=trained)
    assert receipt.flops > 0
    assert {path: path.stat().st_mtime_ns for path in trained.iterdir()} == before


@pytest.mark.parametrize("lora", [None, Lora(r=2)], ids=["full", "lora"])
def test_the_price_is_the_meters_count_where_nothing_is_padded(
    lora: Lora | None, tiny_model: str, tiny_pool: Pool, tmp_path: Path
):
    alike = Pool.from_messages([list(tiny_pool.messages())[3]] * 12, name="alike")
    recipe = Recipe(epochs=2.0, batch_size=4, micro_batch=4, max_tokens=64, lora=lora)
    lengths = load.encoded(tiny_model, alike, 64).lengths()
    assert len(set(lengths)) == 1
    receipt = train(tiny_model, [(alike, recipe)], seed=0, out=tmp_path / "out")
    assert receipt.flops == pytest.approx(total_flops(recipe, load.architecture(tiny_model), lengths), rel=1e-9)
    assert receipt.flops == pytest.approx(receipt.estimated_flops, rel=1e-9)
    assert receipt.tokens == 2 * lengths.sum()


def test_padding_is_on_the_meter_and_not_in_the_price(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    receipt = train(tiny_model, [(tiny_pool, Recipe(max_tokens=64))], seed=0, out=tmp_path / "out")
    assert 1.0 < receipt.flops / receipt.estimated_flops < 1.6
    assert receipt.tokens >= load.encoded(tiny_model, tiny_pool, 64).lengths().sum()


def test_equal_epochs_and_equal_steps(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    plain = Recipe(epochs=2.0, batch_size=8, micro_batch=4, max_tokens=64)
    for name, recipe, rows, wanted in (
        ("epochs", plain, 40, 10),
        ("fewer rows", plain, 16, 4),
        ("steps", plain.with_steps(6), 40, 6),
        ("steps over and over", plain.with_steps(6), 8, 6),
        ("fewer rows than a batch", plain, 3, 2),
    ):
        seen = _Seen()
        train(tiny_model, [(tiny_pool.slice(0, rows), recipe)], seed=0, out=tmp_path / name, callbacks=[seen])
        assert seen.steps == [wanted], name


def test_stages_go_in_turn_and_weights_carry_over(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    """Two stages at once are what two trainings one after the other are."""
    first, second = tiny_pool.slice(0, 20), tiny_pool.slice(20, 40)
    seen = _Seen()
    both = Recipe(batch_size=4, micro_batch=4, learning_rate=1e-3, max_tokens=64)
    train(tiny_model, [(first, both), (second, both.with_steps(2))], seed=3, out=tmp_path / "both", callbacks=[seen])
    assert seen.steps == [5, 2]
    train(tiny_model, [(first, both)], seed=3, out=tmp_path / "one")
    train(str(tmp_path / "one"), [(second, both.with_steps(2))], seed=3, out=tmp_path / "two")
    mine, theirs = weights(tmp_path / "both"), weights(tmp_path / "two")
    for name in mine:
        np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-4, atol=1e-6)


def test_the_given_order_is_kept_and_the_other_is_not(tiny_model: str, tiny_pool: Pool, tmp_path: Path, monkeypatch):
    seen: list[int] = []
    plain = collated.Rows.__getitem__
    monkeypatch.setattr(collated.Rows, "__getitem__", lambda self, i: (seen.append(int(i)), plain(self, i))[1])
    for order, same in (("given", True), ("shuffle", False)):
        seen.clear()
        train(tiny_model, [(tiny_pool, Recipe(order=order, batch_size=8, max_tokens=64))], seed=0, out=tmp_path / order)
        assert sorted(seen) == list(range(40)), "every row once an epoch"
        assert (seen == list(range(40))) == same


def test_an_adapter_opens_and_reads(trained: Path, tiny_pool: Pool, tmp_path: Path):
    recipe = Recipe(epochs=8.0, batch_size=8, learning_rate=6e-3, max_tokens=64, lora=Lora(r=4, alpha=8))
    out = tmp_path / "adapter"
    train(str(trained), [(tiny_pool, recipe)], seed=0, out=out)
    assert (out / "adapter_config.json").exists()
    assert sum(path.stat().st_size for path in out.glob("*.safetensors")) < 200_000, "an adapter, not a model"
    assert load.resolve(str(out), cache=tmp_path) == str(out)
    assert mean_loss(str(out), tiny_pool) < 0.98 * mean_loss(str(trained), tiny_pool)


def test_a_training_of_one_step_is_not_spent_on_its_warm_up(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    once = Recipe(steps=1, batch_size=8, micro_batch=8, learning_rate=5e-3, max_tokens=64)
    assert once.warmup > 0
    train(tiny_model, [(tiny_pool, once)], seed=1, out=tmp_path / "model")
    assert mean_loss(str(tmp_path / "model"), tiny_pool) < mean_loss(tiny_model, tiny_pool)


def test_rows_without_a_trainable_token_are_no_training(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    with pytest.raises(PoolError, match="none of the 40 rows has a token to train on"):
        train(tiny_model, [(tiny_pool, Recipe(max_tokens=4))], seed=0, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_accelerate_launch_trains(tiny_model: str, tmp_path: Path):
    rows = '{"prompt": "Count.", "completion": "One, two."}\n' * 8
    (tmp_path / "rows.jsonl").write_text(rows)
    out = tmp_path / "out"
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "1",
        "--num_machines",
        "1",
    ]
    launch += [
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "-m",
        "thresher",
        "train",
        str(tmp_path / "rows.jsonl"),
    ]
    done = subprocess.run(
        [*launch, "--model", tiny_model, "--out", str(out), "--store", str(tmp_path / "store")],
        capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (out / "config.json").exists()
    assert not list(tmp_path.glob("*.part"))


def test_the_seed_decides_the_order_of_rows_also_where_rows_of_like_length_go_together(tiny_model, tiny_pool, tmp_path):
    """Two seeds that train on the same order would make a paired comparison look surer than it is."""
    recipe = Recipe(epochs=1.0, batch_size=4, micro_batch=2, learning_rate=1e-2, max_tokens=64)
    hashes = []
    for seed in (0, 1, 0):
        out = tmp_path / f"{len(hashes)}"
        train(tiny_model, [(tiny_pool, recipe)], seed=seed, out=out)
        hashes.append(load.weights_hash(str(out)))
    assert hashes[0] != hashes[1], "the seed changes nothing"
    assert hashes[0] == hashes[2], "one seed, one order"


def test_rows_with_nothing_to_train_on_are_said_and_counted(
    tiny_model: str, tiny_pool: Pool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """A question that fills the window leaves its answer out."""
    long = [{"role": "user", "content": "count " * 90}, {"role": "assistant", "content": "done"}]
    rows = Pool.from_messages([*list(tiny_pool.messages())[:6], long, long], name="mixed")
    train(tiny_model, [(rows, Recipe(max_tokens=64))], seed=0, out=tmp_path / "mixed")
    assert "mixed: 2 of 8 rows have no token to train on within 64 tokens" in caplog.text
    about = json.loads((tmp_path / "mixed" / DONE).read_text())
    assert (about["left_out"], about["cut"]) == ([2], [0])
    short = rows.slice(0, 6)
    train(tiny_model, [(short, Recipe(max_tokens=64))], seed=0, out=tmp_path / "short")
    mine, theirs = weights(tmp_path / "mixed"), weights(tmp_path / "short")
    assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_rows_cut_to_the_window_are_counted(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    lengths = load.encoded(tiny_model, tiny_pool, 1024).lengths()
    window = int(np.median(lengths))
    train(tiny_model, [(tiny_pool, Recipe(max_tokens=window))], seed=0, out=tmp_path / "out")
    about = json.loads((tmp_path / "out" / DONE).read_text())
    answered = load.encoded(tiny_model, tiny_pool, window).answer_tokens() > 0
    assert about["left_out"] == [int((~answered).sum())]
    assert about["cut"] == [int(((lengths > window) & answered).sum())]
    assert about["cut"][0] > 0
