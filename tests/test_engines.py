"""The same bytes, whoever does the parts: one process, two workers, shards that are joined; Ray in tests/cluster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thresher import pipeline
from thresher.cli.measure import _Nothing, _Share
from thresher.compute.local import Local, Mapper
from thresher.compute.processes import Processes
from thresher.core.method import Signal
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.data.read import load_pool
from thresher.signals.bm25 import BM25
from thresher.signals.hashed_ngrams import HashedNgrams
from thresher.signals.loss import Loss
from thresher.signals.similarity import Similarity

SIZE = 9  # rows a part


@pytest.fixture(scope="module")
def file_pool(tmp_path_factory: pytest.TempPathFactory, tiny_pool: Pool) -> Pool:
    """Forty rows in an Arrow file, less two: a part is told by path and rows."""
    import json

    folder = tmp_path_factory.mktemp("engines")
    rows = [json.dumps({"messages": row, "source": "abc"[i % 3]}) for i, row in enumerate(tiny_pool.messages())]
    (folder / "pool.jsonl").write_text("\n".join(rows))
    return load_pool(str(folder / "pool.jsonl"), cache=folder).without([7, 20])


@pytest.fixture(scope="module")
def target(tiny_pool: Pool) -> Pool:
    return tiny_pool.take(range(0, 40, 5))


def left(signal: Signal, pool: Pool, target: Pool, store: Store, mapper: Mapper) -> bytes:
    """The joined file."""
    found = pipeline.measure(signal, pool, target, store=store, mapper=mapper, part_size=SIZE)
    assert len(found.values) == len(pool)
    assert found.manifest["part_size"] == SIZE
    return (store.root / found.key / "values.npy").read_bytes()


SIGNALS: dict[str, Signal] = {"bm25": BM25(), "over another signal": Similarity(of=HashedNgrams(d=64))}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNALS)
def test_two_workers_and_shards_leave_the_bytes_of_one_process(
    name: str, file_pool: Pool, target: Pool, store: Store, tmp_path: Path
):
    signal = SIGNALS[name]
    whole = left(signal, file_pool, target, store, Local())
    assert left(signal, file_pool, target, Store(tmp_path / "two"), Processes(2)) == whole
    shards = Store(tmp_path / "shards")
    for number in (3, 1, 2):
        share = _Share(number, 3, Local())
        assert pipeline.measure_shard(signal, file_pool, target, store=shards, mapper=share, part_size=SIZE)
    assert left(signal, file_pool, target, shards, _Nothing()) == whole


@pytest.mark.slow
def test_workers_with_a_model_leave_the_bytes_of_one_process_and_their_receipts(
    file_pool: Pool, target: Pool, store: Store, tmp_path: Path, tiny_model: str
):
    signal = Loss(model=tiny_model)
    whole = left(signal, file_pool, target, store, Local())
    other = Store(tmp_path / "two")
    assert left(signal, file_pool, target, other, Processes(2)) == whole
    (mine,), (theirs,) = (
        [pipeline.measure(signal, file_pool, target, store=one, part_size=SIZE).receipt] for one in (store, other)
    )
    assert theirs.flops == mine.flops > 0
    assert theirs.tokens == mine.tokens


def test_a_pool_in_memory_is_sent_row_by_row(tiny_pool: Pool, target: Pool):
    import pickle

    part = tiny_pool.slice(11, 17)
    sent = pickle.dumps(part)
    assert pickle.loads(sent).ids() == tiny_pool.ids()[11:17]
    assert pickle.loads(sent).fingerprint == part.fingerprint
    assert len(sent) < len(pickle.dumps(tiny_pool)) / 3, "what a slice leaves out is not sent"


@pytest.mark.parametrize("gone", [[], [0], [37, 38, 39], [3, 4, 17, 39], list(range(0, 40, 2))], ids=len)
def test_a_part_of_a_file_is_the_same_rows_in_another_process(gone: list[int], tmp_path: Path):
    import json
    import pickle

    rows = [json.dumps({"prompt": f"q{i}", "response": f"a{i}"}) for i in range(40)]
    (tmp_path / "pool.jsonl").write_text("\n".join(rows))
    pool = load_pool(str(tmp_path / "pool.jsonl"), cache=tmp_path)
    some = pool.without(gone) if gone else pool
    for start, stop in [(0, len(some)), (0, 1), (1, 5), (5, 19), (len(some) - 3, len(some)), (4, 4)]:
        part = some.slice(start, stop)
        there = pickle.loads(pickle.dumps(part))
        assert there.ids() == part.ids() == some.ids()[start:stop]
        assert there.fingerprint == part.fingerprint
        again = pickle.loads(pickle.dumps(there.slice(0, min(2, len(there)))))
        assert again.ids() == part.ids()[:2]
    assert np.array_equal(np.sort(gone), np.setdiff1d(np.arange(40), [int(i[4:]) - 1 for i in some.ids()]))
