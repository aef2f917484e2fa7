"""kill -9 at several points, then the same command again: the same bytes as never interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROWS, PART = 120, 10
PROGRAM = (
    "import sys, time\n"
    "from thresher import pipeline\n"
    f"pipeline._measure.__kwdefaults__['part_size'] = {PART}\n"
    "from thresher.core.store import Store\n"
    "plain = Store.write_part\n"
    "def slow(self, *a):\n"
    "    plain(self, *a)\n"
    "    time.sleep(PAUSE)\n"
    "Store.write_part = slow\n"
    "from thresher.cli import main\n"
    "main(sys.argv[1:])\n"
)
"""The command line with parts of ten rows and a pause after each, so that there is something to interrupt."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool, a target, a task, and a store in which the models are already made."""
    folder = tmp_path_factory.mktemp("killed")
    rows = [
        {"instruction": f"How many keys are {i} and {i % 7}?", "output": f"{i + i % 7} keys." + " So." * (i % 4)}
        for i in range(ROWS + 6)
    ]  # fmt: skip
    (folder / "pool.jsonl").write_text("\n".join(map(json.dumps, rows[:ROWS])) + "\n")
    (folder / "target.jsonl").write_text("\n".join(map(json.dumps, rows[ROWS:])) + "\n")
    (folder / "run.yaml").write_text(
        "pool: pool.jsonl\nmodel: scratch:50k\nmethods: [random, longest]\nbudgets: [10 rows]\nseeds: [0]\n"
        "recipe: {learning_rate: 1e-3, batch_size: 4, micro_batch: 4, max_tokens: 64}\nworkers: 1\n"
        "tasks: [{task: keys, data: target.jsonl, measure: held_out}]\n"
    )
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def start(world: Path, store: Path, *arguments: object, pause: float = 0.0) -> subprocess.Popen:
    program = PROGRAM.replace("PAUSE", str(pause))
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments), "--store", str(store)],
        cwd=world, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> None:
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def kill_when(process: subprocess.Popen, reached: Callable[[], bool]) -> None:
    """kill -9 as soon as the store looks like that."""
    until = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, f"it ended before it could be killed: {process.communicate()[1]}"
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def select(out: Path) -> tuple[object, ...]:
    return ("select", "ppl-mid", "pool.jsonl", "--scorer", "scratch:50k", "--budget", "30 rows", "--out", out)


def chosen(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("selected.jsonl", "scores.parquet")}


@pytest.fixture(scope="module")
def uninterrupted(world: Path) -> dict[str, bytes]:
    finish(start(world, world / "store", *select(world / "whole")))
    return chosen(world / "whole")


def parts(store: Path) -> int:
    return len(list(store.glob("loss-*.part/[0-9]*.json")))


POINTS: dict[str, Callable[[Path], bool]] = {
    "while the scorer is trained": lambda store: bool(list(store.glob("_tuned_model-*.part/own/scorer.part"))),
    "after one part": lambda store: parts(store) >= 1,
    "after seven parts": lambda store: parts(store) >= 7,
}


@pytest.mark.slow
def test_killed_again_and_again_it_leaves_the_same_bytes(world: Path, uninterrupted: dict[str, bytes], tmp_path: Path):
    store, out = tmp_path / "store", tmp_path / "out"
    shutil.copytree(world / "store" / "models", store / "models")
    for reached in POINTS.values():
        kill_when(start(world, store, *select(out), pause=0.2), lambda reached=reached: reached(store))
        assert not out.exists(), "nothing is in --out before it is whole"
        assert list(store.glob("*.part")), "what is unfinished is called .part"
        assert not [p for p in store.glob("loss-*") if p.suffix != ".part"]
    assert parts(store) < ROWS // PART, "the last kill came too late to show anything"
    finish(start(world, store, *select(out)))
    assert chosen(out) == uninterrupted
    assert not list(store.glob("*.part"))
    done, whole = (
        json.loads((folder / "card.json").read_text())["cost"]["stages"][0] for folder in (out, world / "whole")
    )
    assert done["flops"] == pytest.approx(whole["flops"], rel=1e-6), "what ran before a kill is in the receipt, too"


@pytest.mark.slow
def test_two_processes_on_one_store_leave_the_same_bytes(world: Path, uninterrupted: dict[str, bytes], tmp_path: Path):
    store = tmp_path / "store"
    both = [start(world, store, *select(tmp_path / name), pause=0.02) for name in ("one", "two")]
    for process in both:
        finish(process)
    assert chosen(tmp_path / "one") == chosen(tmp_path / "two") == uninterrupted
    assert not list(store.glob("*.part"))


@pytest.mark.slow
def test_a_run_killed_between_its_jobs_goes_on(world: Path, tmp_path: Path):
    """The second job is killed while it trains; the first is not done again."""
    store, out = tmp_path / "store", tmp_path / "run"
    arguments = ("run", "run.yaml", "--out", out)

    def second_trains() -> bool:
        return len(list(out.glob("trained/*/result.json"))) == 1 and bool(list(out.glob("trained/*/model.part")))

    kill_when(start(world, store, *arguments), second_trains)
    (first,) = out.glob("trained/*/result.json")
    before = first.stat().st_mtime_ns
    assert not (out / "results.parquet").exists()
    finish(start(world, store, *arguments))
    assert first.stat().st_mtime_ns == before
    assert len(scores(out)) == 2
    assert not list(out.rglob("*.part"))


def scores(out: Path) -> list[tuple]:
    import pyarrow.parquet as pq

    lines = pq.read_table(out / "results.parquet").to_pylist()
    return [(line["method"], line["seed"], line["rows"], line["score"], line["total_flops"]) for line in lines]
