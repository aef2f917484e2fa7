"""One process, two workers, Ray, shards, and Ray over an address in an object store: the same bytes by every way."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from on_ray import DiesIn

from thresher import pipeline
from thresher.cli.measure import _Nothing, _Share
from thresher.compute.local import Local, Mapper
from thresher.compute.parts import PartWork
from thresher.compute.processes import Processes
from thresher.compute.ray import Ray
from thresher.core import events
from thresher.core.away import Away
from thresher.core.method import Signal
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.data.read import load_pool
from thresher.errors import StoreError
from thresher.models.load import resolve
from thresher.signals.bm25 import BM25
from thresher.signals.hashed_ngrams import HashedNgrams
from thresher.signals.loss import Loss
from thresher.signals.similarity import Similarity

SIZE = 9
SECRET = "AWS_SECRET_ACCESS_KEY"


class Killed:
    """Ray, but the worker that does part 2 is killed in the middle of it; with `hidden`, where no store is seen."""

    def __init__(self, ray: Ray, folder: Path, hidden: Path | None = None) -> None:
        self.ray, self.died, self.hidden = ray, folder / "died", hidden

    def map(self, fn: PartWork, parts: Iterable[tuple[int, Pool]]) -> None:
        self.died.unlink(missing_ok=True)
        work = DiesIn(fn, 2, self.died)
        if self.hidden is None:
            self.ray.map(work, parts)
        else:
            payload, moved = work.packed(), self.hidden.with_name("moved")
            object.__setattr__(work, "packed", lambda: payload)
            self.hidden.rename(moved)
            try:
                self.ray.map(work, parts)
                assert not self.hidden.exists(), "a worker wrote into the store it cannot see"
            finally:
                moved.rename(self.hidden)
        assert self.died.exists()


def pool_in(folder: Path, tiny_pool: Pool) -> tuple[Pool, Pool]:
    folder.mkdir(exist_ok=True)
    (folder / "pool.jsonl").write_text("\n".join(json.dumps({"messages": row}) for row in tiny_pool.messages()))
    pool = load_pool(str(folder / "pool.jsonl"), cache=folder / "store")
    return pool, pool.take(range(0, 40, 5))


def left(signal: Signal, pool: Pool, target: Pool, store: Store, mapper: Mapper) -> bytes:
    found = pipeline.measure(signal, pool, target, store=store, mapper=mapper, part_size=SIZE)
    return (store.root / found.key / "values.npy").read_bytes()


def signals(pool: Pool, store: Path) -> list[Signal]:
    return [Similarity(of=HashedNgrams(d=64)), Loss(model=resolve("scratch:50k", pool=pool, cache=store))]


def test_one_process_two_workers_ray_and_shards_leave_the_same_bytes(cluster: Any, tiny_pool: Pool, tmp_path: Path):
    pool, target = pool_in(tmp_path / "pool", tiny_pool)
    for number, signal in enumerate(signals(pool, tmp_path / "models")):
        one, two, ray, shards = (Store(tmp_path / f"{name}-{number}") for name in ("one", "two", "ray", "shards"))
        whole = left(signal, pool, target, one, Local())
        assert left(signal, pool, target, two, Processes(2)) == whole
        assert left(signal, pool, target, ray, Killed(Ray(cluster.address), tmp_path)) == whole
        for share in (_Share(2, 2, Local()), _Share(1, 2, Local())):
            assert pipeline.measure_shard(signal, pool, target, store=shards, mapper=share, part_size=SIZE)
        assert left(signal, pool, target, shards, _Nothing()) == whole


def test_ray_over_a_bucket_leaves_the_same_bytes_and_no_secret(
    cluster: Any, bucket: str, tiny_pool: Pool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Workers see neither the store nor the pool's file nor the model, which are moved away while they work."""
    pool, target = pool_in(tmp_path / "here", tiny_pool)
    store = Store(tmp_path / "here" / "store", Away(bucket))
    with caplog.at_level(logging.INFO, "thresher"):
        for signal in signals(pool, store.root):
            mapper = Killed(Ray(cluster.address), tmp_path, hidden=store.root)
            key_bytes = left(signal, pool, target, store, mapper)
            assert key_bytes == left(signal, pool, target, Store(tmp_path / "one"), Local())
    assert "lost in part 2" in caplog.text
    assert os.environ[SECRET] not in caplog.text
    for path in store.root.rglob("*.json"):
        assert os.environ[SECRET] not in path.read_text()


class Hidden:
    """Ray, on machines that see nothing of the run: its folder is moved away while parts and jobs are done."""

    def __init__(self, ray: Ray, folder: Path) -> None:
        self.ray, self.folder, self.jobs = ray, folder, 0

    @contextmanager
    def gone(self) -> Iterator[None]:
        moved, told = self.folder.with_name("moved"), os.environ.pop(events.VARIABLE)
        self.folder.rename(moved)
        try:
            yield
            assert not self.folder.exists(), "a worker wrote into a folder that it cannot see"
        finally:
            moved.rename(self.folder)
            os.environ[events.VARIABLE] = told

    def map(self, fn: PartWork, parts: Iterable[tuple[int, Pool]]) -> None:
        payload, sent = fn.packed(), list(parts)
        object.__setattr__(fn, "packed", lambda: payload)
        with self.gone():
            self.ray.map(fn, sent)

    def each(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        sent = list(items)
        self.jobs += len(sent)
        with self.gone():
            done = list(self.ray.each(fn, sent))
        yield from done


def test_a_sweep_over_a_bucket_scores_as_here(cluster: Any, bucket: str, tmp_path: Path):
    from thresher.run import run
    from thresher.spec import Spec

    rows = [
        {"instruction": f"How many keys are {i} and {i % 7}?", "output": f"{i + i % 7} keys." + " So." * (i % 4)}
        for i in range(46)
    ]
    found, mapper = {}, Hidden(Ray(cluster.address), tmp_path / "ray")
    for name, away, engine in (("here", None, None), ("ray", Away(f"{bucket}/sweep"), mapper)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "pool.jsonl").write_text("\n".join(map(json.dumps, rows[:40])))
        (folder / "target.jsonl").write_text("\n".join(map(json.dumps, rows[40:])))
        (folder / "run.yaml").write_text(
            "pool: pool.jsonl\nmodel: scratch:50k\nscorer: scratch:20k\nmethods: [random, ppl-mid]\nworkers: 1\n"
            "budgets: [10 rows]\nseeds: [0]\nkeep_models: true\n"
            "recipe: {learning_rate: 1e-3, batch_size: 4, micro_batch: 4, max_tokens: 64}\n"
            "tasks: [{task: keys, data: target.jsonl, measure: held_out}]\n"
        )
        out = run(Spec.read(folder / "run.yaml"), folder / "out", store=Store(folder / "store", away), mapper=engine)
        lines = pq.read_table(out / "results.parquet").to_pylist()
        scored = [(line["method"], line["rows"], line["score"], line["total_flops"]) for line in lines]
        weights = {path.parents[1].name: path.read_bytes() for path in out.glob("trained/*/model/*.safetensors")}
        found[name] = scored, weights
    assert found["ray"] == found["here"]
    assert len(found["ray"][1]) == mapper.jobs == 2


def test_shards_over_a_bucket_leave_the_same_bytes(bucket: str, tiny_pool: Pool, tmp_path: Path):
    signal, away = Similarity(of=HashedNgrams(d=32)), Away(f"{bucket}/shards")
    for number in (2, 1):
        pool, target = pool_in(tmp_path / f"machine-{number}", tiny_pool)
        store = Store(tmp_path / f"machine-{number}" / "store", away)
        assert pipeline.measure_shard(
            signal, pool, target, store=store, mapper=_Share(number, 2, Local()), part_size=SIZE
        )
    pool, target = pool_in(tmp_path / "joins", tiny_pool)
    whole = left(signal, pool, target, Store(tmp_path / "one"), Local())
    assert left(signal, pool, target, Store(tmp_path / "joins" / "store", away), _Nothing()) == whole


def test_a_bucket_that_is_not_there_is_said(bucket: str, tiny_pool: Pool, tmp_path: Path):
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/x cannot be written to") as error:
        left(BM25(), tiny_pool, tiny_pool, Store(tmp_path, Away("s3://no-such-bucket/x")), Local())
    assert os.environ[SECRET] not in str(error.value)
