"""Files that were damaged while nobody looked: named, and measured or read again; never used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import Command, Happened, left, whole
from injected import run
from planted import killed_at

from thresher.core import checksum
from thresher.core.cost import Receipt
from thresher.core.store import Store


def flipped(path: Path) -> None:
    """One bit, in the last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def shortened(path: Path) -> None:
    """The second half is gone."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


DAMAGE = {"one bit flipped": flipped, "cut short": shortened}
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def parts() -> list[np.ndarray]:
    return [np.random.default_rng(i).normal(size=(5, 3)).astype(np.float32) for i in range(4)]


def filled(store: Store, parts: list[np.ndarray]) -> str:
    """A measurement whose parts are there."""
    with store.claim("loss-1"):
        store.note("loss-1", "prepare", {"stage": "loss", "flops": 7.0})
        for i, values in enumerate(parts):
            store.write_part("loss-1", i, values, Receipt(stage="loss", flops=float(i)))
    return "loss-1"


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("kind", ["npy", "json"])
def test_a_damaged_part_is_named_and_not_done(
    name: str, kind: str, store: Store, parts: list[np.ndarray], caplog: pytest.LogCaptureFixture, happened: Happened
):
    key = filled(store, parts)
    assert store.parts_done(key) == {0, 1, 2, 3}
    DAMAGE[name](store.root / f"{key}.part" / f"000002.{kind}")
    assert Store(store.root).parts_done(key) == {0, 1, 3}
    assert f"{key}: part 000002 is damaged" in caplog.text
    store.write_part(key, 2, parts[2], Receipt(stage="loss"))
    assert np.array_equal(store.seal(key, {"rows": 20}), np.concatenate(parts))
    assert store.has(key)
    what = "values" if kind == "npy" else "receipt"
    happened(f"{what} of a part: {name}", "measure", "the part is named and measured again; the others are kept")


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("file", ["values.npy", "manifest.json"])
def test_damaged_values_are_named_and_measured_again(
    name: str, file: str, store: Store, parts: list[np.ndarray], caplog: pytest.LogCaptureFixture, happened: Happened
):
    key = filled(store, parts)
    (store.own(key) / "checkpoint").write_text("dear")
    store.seal(key, {"rows": 20})
    DAMAGE[name](store.root / key / file)
    assert not store.has(key)
    with store.claim(key):
        assert f"{key} is damaged" in caplog.text
        assert not (store.root / key).exists()
        kept = (store.own(key) / "checkpoint").exists()
        assert kept == (file == "values.npy") == (store.noted(key, "prepare") is not None)
    filled(store, parts)
    store.seal(key, {"rows": 20})
    assert store.has(key)
    happened(f"{file}: {name}", "measure", "named and measured again, never used")


def test_every_bit_of_a_part_is_guarded(store: Store, parts: list[np.ndarray]):
    key = filled(store, parts)
    path = store.root / f"{key}.part" / "000001.npy"
    told = json.loads(path.with_suffix(".json").read_text())
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 13):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        assert checksum.of_file(path) != told["values"]


def test_a_kill_while_sealing_loses_nothing(store: Store, parts: list[np.ndarray]):
    """The manifest is there and some parts are gone already: it is finished, not measured again."""
    key = filled(store, parts)
    store.seal(key, {"rows": 20})
    (store.root / key).rename(store.root / f"{key}.part")
    with store.claim(key):
        assert store.has(key)
    assert np.array_equal(store.read(key), np.concatenate(parts))


def test_the_command_measures_a_damaged_part_again(world: Path, command: Command, happened: Happened):
    """From the outside: killed, damaged, and the same bytes as ever."""
    place = world / "damaged"
    expected = whole("measure", world, command)
    killed = run(*command("measure", place), folder=world, fault=killed_at(expected.changes // 2, place))
    assert killed.code == -9
    done = sorted(place.glob("store/loss-*.part/[0-9]*.json"))  # the receipt marks a part done
    assert 0 < len(done) < 5, "killed in the middle"
    flipped(done[0].with_suffix(".npy"))
    again = run(*command("measure", place), folder=world)
    assert again.code == 0, again.err
    assert "is damaged" in again.err
    assert left("measure", place, again) == expected.left
    happened("kill -9, then one bit of a part flipped", "measure", "said; the same bytes as never interrupted")


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_pool_is_read_again(name: str, world: Path, command: Command, happened: Happened):
    place = world / "place"
    first = run(*command("read", place), folder=world)
    (arrow,) = place.glob("store/pools/*.arrow")
    DAMAGE[name](arrow)
    again = run(*command("read", place), folder=world)
    assert again.code == 0, again.err
    assert "is damaged" in again.err
    assert again.out == first.out
    happened(f"the pool's own file: {name}", "read", "said, and read again from its source")


def test_a_pool_that_changed_is_measured_anew(world: Path, command: Command, rows: list, happened: Happened):
    """Between measure and select one row is another: no value of the old pool is used."""
    place, fresh = world / "place", world / "fresh"
    assert run(*command("measure", place), folder=world).code == 0
    changed = [{**row, "output": "Nobody knows."} if i == 5 else row for i, row in enumerate(rows[:48])]
    (world / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    for here in (place, fresh):
        ended = run(*command("select", here), folder=world)
        assert ended.code == 0, ended.err
    assert left("select", place, ended) == left("select", fresh, ended)
    happened("pool changed since it was measured", "select", "another fingerprint: measured anew, as in a fresh store")


@pytest.mark.parametrize("stage", ["run", "race"])
def test_a_run_whose_pool_changed_is_another_run(stage: str, world: Path, command: Command, happened: Happened):
    place = world / "place"
    killed = run(*command(stage, place), folder=world, fault=killed_at(40, place))
    assert killed.code == -9
    (world / "pool.jsonl").write_text((world / "pool.jsonl").read_text().replace("keys", "doors"))
    refused = run(*command(stage, place), folder=world)
    assert refused.clear, (refused.code, refused.err)
    assert "pool differ" in refused.err
    happened("pool changed since the run began", stage, "one clear sentence that names the pool, exit 2")
