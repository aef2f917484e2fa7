"""A run over an address: what another machine measured is taken, and jobs are done where nothing of the run is seen."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from thresher import pipeline
from thresher.compute.local import Local, Mapper, Placer
from thresher.core import events, parcel
from thresher.core.away import Away
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import StoreError
from thresher.models import load
from thresher.race import race
from thresher.run import run
from thresher.spec import Spec

RECIPE = {"learning_rate": 1e-3, "batch_size": 4, "micro_batch": 4, "max_tokens": 64}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/bucket/prefix"


def rows(n: int, start: int = 0) -> str:
    made = [
        {"instruction": f"How many keys are {i} and {i % 7} more?", "output": f"{i + i % 7} keys." + " So." * (i % 4)}
        for i in range(start, start + n)
    ]
    return "\n".join(map(json.dumps, made)) + "\n"


def on(machine: Path, **more: object) -> Spec:
    """The same recipe and rows on a machine with a folder of its own."""
    machine.mkdir()
    for name, text in (("pool", rows(40)), ("target", rows(4, 100)), ("test", rows(6, 200)), ("shots", rows(3, 300))):
        (machine / f"{name}.jsonl").write_text(text)
    values = {
        "pool": "pool.jsonl", "target": "target.jsonl", "model": "scratch:50k", "scorer": "scratch:20k",
        "methods": ["random", "bm25", "ppl-mid"], "budgets": ["12 rows"], "seeds": [0], "workers": 1,
        "dtype": "float32", "recipe": RECIPE,
        "tasks": [{"task": "keys", "data": "test.jsonl", "measure": "held_out"}],
    }  # fmt: skip
    return Spec.from_dict(values | more, folder=machine)


def done(spec: Spec, machine: Path, away: Away | None = None, mapper: Mapper | None = None) -> Path:
    return run(spec, machine / "out", store=Store(machine / "store", away), mapper=mapper)


def left(out: Path) -> tuple[list[dict], dict[str, bytes]]:
    """(results but their seconds, every file of the selections that is to be the same bytes)."""
    lines = pq.read_table(out / "results.parquet").to_pylist()
    chosen = [*out.glob("selections/*/selected.jsonl"), *out.glob("selections/*/scores.parquet")]
    return (
        [{key: value for key, value in line.items() if "seconds" not in key} for line in lines],
        {str(path.relative_to(out)): path.read_bytes() for path in chosen},
    )


class Elsewhere:
    """Workers on a machine that sees nothing of this one's folder: it is moved away while they work."""

    def __init__(self, machine: Path) -> None:
        self.machine = machine
        self.jobs: list[str] = []

    def map(self, fn: Any, parts: Iterable[tuple[int, Pool]]) -> None:
        sent = [(i, pickle.dumps(part.alone())) for i, part in parts]
        payload = fn.packed()

        def work() -> None:
            do = pickle.loads(payload)
            for i, part in sent:
                do(i, pickle.loads(part))

        self._hidden(work)

    def each(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        for item in items:
            self.jobs.append(item.name)
            payload = pickle.dumps((fn, item))
            yield item, self._hidden(lambda sent=payload: self._call(*pickle.loads(sent)))

    @staticmethod
    def _call(fn: Callable[[Any], Any], item: Any) -> Any:
        load.close_models()
        return fn(item)

    def _hidden(self, work: Callable[[], Any]) -> Any:
        moved, told = self.machine.with_name("moved"), os.environ.pop(events.VARIABLE)
        self.machine.rename(moved)
        try:
            result = work()
            assert not self.machine.exists(), "a worker wrote into a folder that it cannot see"
        finally:
            moved.rename(self.machine)
            os.environ[events.VARIABLE] = told
            parcel.clear()
        return result


@pytest.mark.slow
def test_a_second_machine_takes_what_the_first_measured_and_both_leave_what_one_does(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
):
    alone = left(done(on(tmp_path / "alone"), tmp_path / "alone"))
    assert left(done(on(tmp_path / "first"), tmp_path / "first", Away(url))) == alone

    def anew(*arguments: object) -> None:
        raise AssertionError(f"{arguments[3]} was measured again")

    monkeypatch.setattr(pipeline, "_measure_parts", anew)
    assert left(done(on(tmp_path / "second"), tmp_path / "second", Away(url))) == alone


@pytest.mark.slow
def test_jobs_are_done_where_nothing_of_the_run_is_seen(tmp_path: Path, url: str):
    more: dict[str, Any] = {
        "methods": ["zero-shot", "random", "longest"],
        "stages": {"labelled": "target.jsonl", "first": RECIPE | {"loss": "all"}, "second": RECIPE},
        "recipe": None,
        "tasks": [
            {"task": "keys", "data": "test.jsonl", "measure": "held_out"},
            {"task": "number", "data": "test.jsonl", "measure": "exact_match", "shots": 2, "max_new_tokens": 4,
             "shots_from": "shots.jsonl"},
        ],
    }  # fmt: skip
    here, there = tmp_path / "here", tmp_path / "there"
    cluster = Elsewhere(there)
    assert isinstance(cluster, Placer)
    alone = left(done(on(here, **more), here))
    spec = on(there, **more)
    assert left(done(spec, there, Away(url), cluster)) == alone
    assert len(cluster.jobs) == 4
    for path in here.glob("out/trained/*/result.json"):
        same = there / path.relative_to(here)
        assert _unclocked(json.loads(path.read_text())) == _unclocked(json.loads(same.read_text()))
    assert not list(there.glob("out/trained/*/model")), "models that nobody asked to keep"
    assert left(done(spec, there, Away(url), cluster)) == alone
    assert len(cluster.jobs) == 4, "what is done was done again"


@pytest.mark.slow
def test_a_model_that_is_kept_comes_back_and_is_named_by_the_run(tmp_path: Path, url: str):
    more = {"methods": ["random"], "keep_models": True, "recipe": RECIPE | {"lora": {"r": 4}}}
    here, there = tmp_path / "here", tmp_path / "there"
    done(on(here, **more), here)
    out = done(on(there, **more), there, Away(url), Elsewhere(there))
    model = out / "trained" / "random-12_rows-0" / "model"
    adapter = model / "adapter_model.safetensors"
    assert adapter.read_bytes() == (here / adapter.relative_to(there)).read_bytes()
    load.close_models()
    assert load.open_model(str(model)), "its base model is found"
    for path in model.glob("*"):
        assert b"/thresher-" not in path.read_bytes(), f"{path.name} names a folder of the machine that is gone"
    told = json.loads((model / "thresher-training.json").read_text())
    assert told["data"][0][0]["file"] == str(out / "selections" / "random-12_rows-0" / "selected.jsonl")


@pytest.mark.slow
def test_a_race_over_an_address_ends_as_one_without(tmp_path: Path, url: str):
    """Rounds decide from what comes back, so the same arms go on."""
    more = {"methods": ["random", "longest", "bm25"], "budgets": ["4 rows", "12 rows"], "seeds": [0, 1]}
    here, there = tmp_path / "here", tmp_path / "there"
    raced = race(on(here, **more), here / "out", store=Store(here / "store"), budget="1e12 flops")
    cluster = Elsewhere(there)
    away = Store(there / "store", Away(url))
    race(on(there, **more), there / "out", store=away, budget="1e12 flops", mapper=cluster)
    assert left(there / "out") == left(raced)
    course, same = (json.loads((machine / "out" / "race.json").read_text()) for machine in (here, there))
    assert _unclocked(course) == _unclocked(same)
    assert sorted(cluster.jobs) == sorted(path.name for path in raced.glob("trained/*")), "each once, elsewhere"


def test_what_is_not_at_the_address_any_more_is_said(tmp_path: Path, url: str):
    class Forgets(Elsewhere):
        def each(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            for item in items:
                next((tmp_path / "bucket").rglob("test.jsonl.files.json")).unlink()
                yield from super().each(fn, [item])

    machine = tmp_path / "there"
    with pytest.raises(StoreError, match=r"rows/.*/test.jsonl was left in file://.* is not there any more"):
        done(on(machine, methods=["zero-shot"]), machine, Away(url), Forgets(machine))


@pytest.mark.parametrize("wrong", ["nowhere://x", "file://{}/pool.jsonl/prefix"])
def test_a_wrong_address_is_said_before_anything_is_done(wrong: str, tmp_path: Path):
    machine = tmp_path / "here"
    spec = on(machine)
    before = set(machine.rglob("*"))
    with pytest.raises(StoreError, match=r"cannot be read"):
        done(spec, machine, Away(wrong.format(machine)), Local())
    assert set(machine.rglob("*")) == before


def _unclocked(about: Any) -> Any:
    """Without what the clock and the memory said, and the checksum over it."""
    if isinstance(about, list):
        return [_unclocked(one) for one in about]
    if not isinstance(about, dict):
        return about
    gone = ("seconds", "peak_bytes", "crc32")
    return {key: _unclocked(value) for key, value in about.items() if not key.endswith(gone)}
