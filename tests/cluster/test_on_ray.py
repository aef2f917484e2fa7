"""Parts on a Ray cluster of two machines: the same bytes, the lost replaced, no more under way than is good."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from on_ray import Writes, dies_once, square

from thresher import pipeline
from thresher.compute.local import Local
from thresher.compute.ray import Ray
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.data.read import load_pool
from thresher.errors import NonFinite, ThresherError
from thresher.signals.bm25 import BM25
from thresher.signals.loss import Loss


@pytest.fixture
def pool(tmp_path: Path, tiny_pool: Pool) -> Pool:
    lines = [json.dumps({"messages": row}) for row in tiny_pool.messages()]
    (tmp_path / "pool.jsonl").write_text("\n".join(lines))
    return load_pool(str(tmp_path / "pool.jsonl"), cache=tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def written(folder: Path) -> dict[int, list[str]]:
    return {int(path.stem.split("-")[1]): path.read_text().split("\n")[2:] for path in folder.glob("part-*")}


def here(pool: Pool, size: int) -> dict[int, list[str]]:
    return {i: part.ids() for i, part in pool.parts(size)}


def test_the_bytes_are_those_of_one_process(cluster: Any, pool: Pool, tmp_path: Path, tiny_model: str):
    target = pool.take(range(0, 40, 5))
    for signal in (BM25(), Loss(model=tiny_model)):
        files = []
        for name, mapper in (("one", Local()), ("ray", Ray(cluster.address))):
            store = Store(tmp_path / name)
            found = pipeline.measure(signal, pool, target, store=store, mapper=mapper, part_size=9)
            files.append((store.root / found.key / "values.npy").read_bytes())
        assert files[0] == files[1]


def test_two_machines_share_the_parts_one_thread_each(cluster: Any, pool: Pool, out: Path):
    told = []
    Ray(cluster.address, progress=lambda i, part: told.append(i)).map(Writes(out, pause=0.2), pool.parts(3))
    assert written(out) == here(pool, 3)
    assert sorted(told) == list(range(14))
    about = [path.read_text().split("\n")[:2] for path in out.glob("part-*")]
    assert len({process for process, _ in about}) == 2
    assert {threads for _, threads in about} == {"1"}


def test_a_killed_worker_is_said_and_its_parts_done_again(
    cluster: Any, pool: Pool, out: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING, "thresher"):
        Ray(cluster.address).map(Writes(out, dies_in=4), pool.parts(3))
    assert written(out) == here(pool, 3)
    assert any("lost in part 4" in record.getMessage() for record in caplog.records)


def test_a_part_that_ends_every_worker_ends_the_run(cluster: Any, pool: Pool, out: Path):
    with pytest.raises(ThresherError, match=r"part 2 \(3 rows\) ended 3 workers"):
        Ray(cluster.address).map(Writes(out, dies_in=2, times=99), pool.parts(3))


def test_faults_of_the_work_and_of_the_cluster_are_said(cluster: Any, pool: Pool, out: Path):
    with pytest.raises(NonFinite, match="planted"):
        Ray(cluster.address).map(Writes(out, fails_in=1), pool.parts(3))
    with pytest.raises(ThresherError, match="does not see the store's folder"):
        Ray(cluster.address).map(Writes(out, seen=False), pool.parts(3))
    with pytest.raises(ThresherError, match=r"no machine of the cluster holds a worker of 1 CPU and 0.5 GPU"):
        Ray(cluster.address, gpus=0.5).map(Writes(out), pool.parts(3))


def test_no_more_parts_are_read_than_the_workers_may_have(cluster: Any, pool: Pool, out: Path):
    read, done, ahead = [], [], []

    def parts() -> Iterator[tuple[int, Pool]]:
        for i, part in pool.parts(1):
            read.append(i)
            ahead.append(len(read) - len(done))
            yield i, part

    Ray(cluster.address, ahead=2, progress=lambda i, part: done.append(i)).map(Writes(out), parts())
    assert len(done) == 40
    assert max(ahead) <= 2 * 2 * 2, "under way, and as many waiting"


def test_jobs_have_a_process_each_and_a_lost_one_is_done_again(cluster: Any, tmp_path: Path):
    found = dict(Ray(cluster.address).each(square, range(4)))
    assert {x: y for x, (y, _) in found.items()} == {0: 0, 1: 1, 2: 4, 3: 9}
    assert len({process for _, process in found.values()} - {os.getpid()}) == 4
    items = [tmp_path / "a", tmp_path / "b"]
    assert dict(Ray(cluster.address).each(dies_once, items)) == {items[0]: "a", items[1]: "b"}


def test_a_sweep_on_the_cluster_scores_as_here(cluster: Any, tmp_path: Path, cache: Path):
    import pyarrow.parquet as pq

    from thresher.run import run
    from thresher.spec import Spec

    rows = [
        {"instruction": f"How many keys are {i} and {i % 7}?", "output": f"{i + i % 7} keys." + " So." * (i % 4)}
        for i in range(46)
    ]
    (tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, rows[:40])))
    (tmp_path / "target.jsonl").write_text("\n".join(map(json.dumps, rows[40:])))
    (tmp_path / "run.yaml").write_text(
        "pool: pool.jsonl\nmodel: scratch:50k\nmethods: [random, longest]\nbudgets: [10 rows]\nseeds: [0]\n"
        "recipe: {learning_rate: 1e-3, batch_size: 4, micro_batch: 4, max_tokens: 64}\nworkers: 1\n"
        "tasks: [{task: keys, data: target.jsonl, measure: held_out}]\n"
    )
    spec = Spec.read(tmp_path / "run.yaml")
    scores = []
    for name, mapper in (("here", None), ("ray", Ray(cluster.address))):
        folder = run(spec, tmp_path / name, store=Store(cache), mapper=mapper)
        lines = pq.read_table(folder / "results.parquet").to_pylist()
        scores.append([(line["method"], line["rows"], line["score"], line["total_flops"]) for line in lines])
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2


def test_a_machine_that_goes_away_takes_no_part_with_it(cluster: Any, pool: Pool, out: Path):
    machine = cluster.add_node(num_cpus=1, object_store_memory=100 * 1024 * 1024)
    done: list[int] = []

    def one_done(i: int, part: Pool) -> None:
        done.append(i)
        if len(done) == 5:
            cluster.remove_node(machine, allow_graceful=False)

    Ray(cluster.address, progress=one_done).map(Writes(out, pause=0.3), pool.parts(2))
    assert written(out) == here(pool, 2)
    assert sorted(done) == list(range(20))
