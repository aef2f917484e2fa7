"""Parts by an address: machines that do not see each other's folders leave the bytes of one process."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from thresher import pipeline
from thresher.cli.measure import _Nothing, _Share
from thresher.compute.local import Local, Mapper
from thresher.core import checksum, parcel
from thresher.core.away import Away
from thresher.core.method import Signal
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.data.read import load_pool
from thresher.errors import StoreError
from thresher.models.load import resolve
from thresher.signals.bm25 import BM25
from thresher.signals.hashed_ngrams import HashedNgrams
from thresher.signals.length import Length
from thresher.signals.loss import Loss
from thresher.signals.similarity import Similarity

SIZE = 9  # rows a part
SIGNALS: dict[str, Signal] = {"bm25": BM25(), "over another signal": Similarity(of=HashedNgrams(d=64))}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket/prefix"


def at(folder: Path, tiny_pool: Pool) -> tuple[Pool, Pool]:
    """Pool and target as a machine reads them that has only this folder."""
    folder.mkdir()
    rows = [json.dumps({"messages": row}) for row in tiny_pool.messages()]
    (folder / "pool.jsonl").write_text("\n".join(rows))
    pool = load_pool(str(folder / "pool.jsonl"), cache=folder / "store")
    return pool, pool.take(range(0, 40, 5))


def left(signal: Signal, pool: Pool, target: Pool, store: Store, mapper: Mapper) -> bytes:
    found = pipeline.measure(signal, pool, target, store=store, mapper=mapper, part_size=SIZE)
    return (store.root / found.key / "values.npy").read_bytes()


class Hidden:
    """A mapper whose workers are on a machine without this one's store: it is moved away while they work."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def map(self, fn: Any, parts: Iterable[tuple[int, Pool]]) -> None:
        sent = [(i, pickle.dumps(rows.alone())) for i, rows in parts]
        payload, elsewhere = fn.packed(), self.store.root.with_name("moved")
        self.store.root.rename(elsewhere)
        try:
            work = pickle.loads(payload)
            for i, rows in sent:
                work(i, pickle.loads(rows))
            assert not self.store.root.exists(), "a worker made the folder of the store it cannot see"
        finally:
            elsewhere.rename(self.store.root)


@pytest.mark.parametrize("name", SIGNALS)
def test_shards_with_a_folder_each_leave_the_bytes_of_one_process(name: str, tiny_pool: Pool, tmp_path: Path, url: str):
    signal = SIGNALS[name]
    whole = left(signal, *at(tmp_path / "one", tiny_pool), Store(tmp_path / "one" / "store"), Local())
    for number in (3, 1, 2):
        folder = tmp_path / f"machine-{number}"
        pool, target = at(folder, tiny_pool)
        share, store = _Share(number, 3, Local()), Store(folder / "store", Away(url))
        assert pipeline.measure_shard(signal, pool, target, store=store, mapper=share, part_size=SIZE)
        assert 0 < len(share.done) < 5
    pool, target = at(tmp_path / "joins", tiny_pool)
    assert left(signal, pool, target, Store(tmp_path / "joins" / "store", Away(url)), _Nothing()) == whole
    pool, target = at(tmp_path / "later", tiny_pool)
    assert left(signal, pool, target, Store(tmp_path / "later" / "store", Away(url)), _Nothing()) == whole


@pytest.mark.parametrize("name", [*SIGNALS, pytest.param("loss", marks=pytest.mark.slow)])
def test_a_worker_that_does_not_see_the_store_leaves_the_same_bytes(
    name: str, tiny_pool: Pool, tmp_path: Path, url: str
):
    pool, target = at(tmp_path / "here", tiny_pool)
    store = Store(tmp_path / "here" / "store", Away(url))
    signal = SIGNALS[name] if name != "loss" else Loss(model=resolve("scratch:50k", pool=pool, cache=store.root))
    whole = left(signal, pool, target, Store(tmp_path / "one"), Local())
    assert left(signal, pool, target, store, Hidden(store)) == whole
    parcel.clear()


def test_a_damaged_part_is_named_and_measured_again(
    tiny_pool: Pool, tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture
):
    signal, (pool, target) = Length(), at(tmp_path / "here", tiny_pool)
    whole = left(signal, pool, target, Store(tmp_path / "one"), Local())
    first = Store(tmp_path / "first", Away(url))
    assert pipeline.measure_shard(signal, pool, target, store=first, mapper=Local(), part_size=SIZE)
    damaged = next((tmp_path / "bucket").rglob("000002.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    next((tmp_path / "bucket").rglob("000003.npy")).unlink()
    with caplog.at_level(logging.WARNING, "thresher"), pytest.raises(StoreError, match=r"2 parts .*numbers 2, 3"):
        left(signal, pool, target, Store(tmp_path / "second", Away(url)), _Nothing())
    assert "part 000002" in caplog.text
    assert "part 000003" in caplog.text
    assert left(signal, pool, target, Store(tmp_path / "second", Away(url)), Local()) == whole


def test_a_part_that_was_not_sent_is_sent_by_the_next_run(
    tiny_pool: Pool, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
):
    signal, (pool, target) = Length(), at(tmp_path / "here", tiny_pool)
    store, sent = Store(tmp_path / "first", Away(url)), Away.leave_part

    def cut(self: Away, folder: Path, key: str, size: int, number: int) -> None:
        if number == 1:
            raise StoreError("the network is gone")
        sent(self, folder, key, size, number)

    with monkeypatch.context() as patched:
        patched.setattr(Away, "leave_part", cut)
        with pytest.raises(StoreError, match="network"):
            pipeline.measure_shard(signal, pool, target, store=store, mapper=Local(), part_size=SIZE)
    share = _Share(1, 1, Local())
    assert pipeline.measure_shard(signal, pool, target, store=store, mapper=share, part_size=SIZE)
    assert share.done == [2, 3, 4], "parts 0 and 1 were measured before"
    whole = left(signal, pool, target, Store(tmp_path / "one"), Local())
    assert left(signal, pool, target, Store(tmp_path / "second", Away(url)), _Nothing()) == whole


def test_two_machines_that_leave_the_same_folder_do_not_mix(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch):
    """One is overtaken by the other between its files and its list: what is fetched is of one of them, whole."""
    for machine in "ab":
        for name in ("key/own/x", "key/own/y"):
            (tmp_path / machine / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / machine / name).write_text(f"{name} of {machine}")
    away, listed = Away(url), Away._write

    def overtaken(self: Away, content: bytes, place: str) -> None:
        monkeypatch.setattr(Away, "_write", listed)
        away.leave(tmp_path / "b" / "key", "key")
        listed(self, content, place)

    monkeypatch.setattr(Away, "_write", overtaken)
    away.leave(tmp_path / "a" / "key", "key")
    assert away.fetch(tmp_path / "c" / "key", "key")
    assert {path.read_text()[-1] for path in (tmp_path / "c").rglob("*") if path.is_file()} == {"a"}


def test_an_address_in_memory_holds_what_was_left(tiny_pool: Pool, tmp_path: Path):
    away = Away(f"memory://{tmp_path.name}")
    whole = left(Length(), tiny_pool, tiny_pool, Store(tmp_path / "one", away), Local())
    assert left(Length(), tiny_pool, tiny_pool, Store(tmp_path / "two", away), _Nothing()) == whole


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://key:secret@bucket/prefix", "s3://bucket/prefix"),
        ("https://account.blob/there?sig=secret", "https://account.blob/there"),
        ("bucket/prefix", "is not an address"),
        ("s3://", "is not an address"),
    ],
)
def test_what_cannot_be_an_address_is_refused_and_a_secret_not_repeated(url: str, said: str):
    with pytest.raises(StoreError, match=said) as error:
        Away(url)
    assert "secret" not in str(error.value)


def test_an_address_that_cannot_be_reached_is_said(tmp_path: Path, tiny_pool: Pool):
    (tmp_path / "file").touch()
    store = Store(tmp_path / "store", Away(f"file://{tmp_path}/file/prefix"))
    with pytest.raises(StoreError, match=r"file/prefix cannot be .*run the same command again"):
        left(Length(), tiny_pool, tiny_pool, store, Local())
    with pytest.raises(StoreError, match=r"nowhere://x cannot be read"):
        Away("nowhere://x").fetch(tmp_path, "key")


@pytest.mark.parametrize("name", ["../../stolen", "/stolen", "a/../../../stolen"])
def test_a_list_that_names_files_outside_is_refused(name: str, url: str, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    away = Away(url)
    away.leave(tmp_path / "model", "model")
    (listing,) = (tmp_path / "bucket").rglob("model.files.json")
    (found,) = json.loads(listing.read_text())["files"].values()
    listing.write_text(json.dumps(checksum.signed({"files": {name: found}})))
    with pytest.raises(StoreError, match="outside of it"):
        away.fetch(tmp_path / "deep" / "er" / "model", "model")
    assert not list(tmp_path.rglob("stolen"))
