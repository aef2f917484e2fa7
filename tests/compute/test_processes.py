"""Several processes on one machine: every part once, the dead replaced, nobody left behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from thresher.compute.processes import ATTEMPTS, Processes, cores, fitting
from thresher.core.pool import Pool
from thresher.data.read import load_pool
from thresher.errors import NonFinite, ThresherError


@dataclass(frozen=True)
class Writes:
    """Leaves each part's answers in a folder, with who did it; fails as it is told to."""

    folder: Path
    dies_in: int = -1  # the worker that does this part is killed
    times: int = 1
    fails_in: int = -1
    with_: str = ""
    seconds: float = 1e9
    on_model: bool = False
    memory: float = 1.0

    def __call__(self, i: int, part: Pool) -> None:
        if i == self.dies_in and len(list(self.folder.glob("died-*"))) < self.times:
            (self.folder / f"died-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if i == self.fails_in:
            raise {"": NonFinite, "unpicklable": Unpicklable}[self.with_]("planted")
        (self.folder / f"part-{i}").write_text("\n".join([str(os.getpid()), *part.ids(), *part.answer()]))


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("never")


@pytest.fixture
def rows():
    ask = {"role": "user", "content": "q"}
    return Pool.from_messages([[ask, {"role": "assistant", "content": str(i)}] for i in range(11)])


def written(folder: Path) -> dict[int, list[str]]:
    return {int(path.stem.split("-")[1]): path.read_text().split("\n")[1:] for path in folder.glob("part-*")}


def here(rows: Pool, size: int) -> dict[int, list[str]]:
    return {i: [*part.ids(), *part.answer()] for i, part in rows.parts(size)}


def test_every_part_is_done_once_by_other_processes(rows, tmp_path):
    told = []
    Processes(2, progress=lambda i, part: told.append((i, len(part)))).map(Writes(tmp_path), rows.parts(2))
    assert written(tmp_path) == here(rows, 2)
    assert sorted(told) == [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 1)]
    workers = {path.read_text().split("\n")[0] for path in tmp_path.glob("part-*")}
    assert str(os.getpid()) not in workers
    assert 1 <= len(workers) <= 2


def test_a_file_is_sent_as_its_path_and_read_there(tmp_path):
    lines = "\n".join(f'{{"prompt": "q{i}", "response": "{"long " * 2000}{i}"}}' for i in range(40))
    (tmp_path / "pool.jsonl").write_text(lines)
    pool = load_pool(str(tmp_path / "pool.jsonl"), cache=tmp_path)
    (tmp_path / "out").mkdir()
    some = pool.without([3, 4, 17, 39])
    Processes(2).map(Writes(tmp_path / "out"), some.parts(7))
    assert written(tmp_path / "out") == here(some, 7)


def test_a_dead_worker_is_said_and_its_part_done_again(rows, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        Processes(2).map(Writes(tmp_path, dies_in=3), rows.parts(2))
    assert written(tmp_path) == here(rows, 2)
    (said,) = [record.getMessage() for record in caplog.records if "died" in record.getMessage()]
    assert "in part 3 (killed by signal 9" in said


def test_a_part_that_ends_every_worker_ends_the_run(rows, tmp_path):
    with pytest.raises(ThresherError, match=r"part 1 \(2 rows, the first row-2\) ended 3 workers"):
        Processes(2).map(Writes(tmp_path, dies_in=1, times=99), rows.parts(2))
    assert len(list(tmp_path.glob("died-*"))) == ATTEMPTS


@pytest.mark.parametrize(("with_", "kind"), [("", NonFinite), ("unpicklable", RuntimeError)], ids=str)
def test_an_exception_reaches_the_caller(rows, tmp_path, with_, kind):
    with pytest.raises(kind, match="planted"):
        Processes(2).map(Writes(tmp_path, fails_in=2, with_=with_), rows.parts(2))


def test_one_worker_or_one_part_stays_in_this_process(rows, tmp_path):
    Processes(1).map(Writes(tmp_path), rows.parts(2))
    Processes(4).map(Writes(tmp_path), [(9, rows)])
    assert {path.read_text().split("\n")[0] for path in tmp_path.glob("part-*")} == {str(os.getpid())}


def test_the_default_goes_by_machine_and_work(tmp_path):
    assert fitting(Writes(tmp_path)) == cores()
    assert fitting(Writes(tmp_path, seconds=1.0)) == 1
    assert fitting(Writes(tmp_path, memory=1e18)) == 1
    assert 1 <= cores() <= (os.cpu_count() or 1)


PROGRAM = """
import sys, time
from pathlib import Path
from thresher.compute.processes import Processes
from thresher.core.pool import Pool
sys.path.insert(0, {here!r})
from sleeping import Sleeps
rows = Pool.from_messages([[{{"role": "assistant", "content": "a"}}]] * 4)
if __name__ == "__main__":
    Processes(2).map(Sleeps(Path({folder!r})), rows.parts(1))
"""
SLEEPING = """
import os, time
from dataclasses import dataclass
from pathlib import Path
@dataclass
class Sleeps:
    folder: Path
    def __call__(self, i, part):
        (self.folder / f"started-{os.getpid()}").touch()
        time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path, how):
    (tmp_path / "sleeping.py").write_text(SLEEPING)
    (tmp_path / "program.py").write_text(PROGRAM.format(here=str(tmp_path), folder=str(tmp_path)))
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")], stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job is deaf to it
    )  # fmt: skip
    wait_for(lambda: len(list(tmp_path.glob("started-*"))) == 2)
    process.send_signal(how)
    process.communicate(timeout=60)
    workers = [int(path.name.split("-")[1]) for path in tmp_path.glob("started-*")]
    wait_for(lambda: not any(alive(pid) for pid in workers))


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except FileNotFoundError:
        return False


def wait_for(reached) -> None:
    until = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.02)
