"""Map a function over the parts of a pool in several processes of this machine, one thread each."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from thresher.compute import meter
from thresher.compute.local import Local, Work
from thresher.compute.process import settle
from thresher.core.pool import Pool
from thresher.errors import ThresherError

log = logging.getLogger(__name__)
WORTH_IT = 20.0  # seconds of work below which starting workers, some 5 s of a core each, costs more than it saves
ATTEMPTS = 3  # a part that ends so many workers ends the run
Part = tuple[int, Pool]


@dataclass(frozen=True)
class Processes:
    """As many parts at a time as there are workers, in any order; results are written by the workers themselves.

    A worker that dies is said, and its part is done again by a new one. An exception in a worker ends the rest and
    reaches the caller. Workers end with this process, however it ends. What a worker runs must pickle.

    Attributes:
        workers: how many; 1 works in this process, None is what `fitting` says.
        progress: called here after each part.
        threads: of each worker.
    """

    workers: int | None = None
    progress: Work | None = None
    threads: int = 1

    def map(self, fn: Work, parts: Iterable[Part]) -> None:
        """Run `fn` over all parts.

        Raises:
            ThresherError: a part that ended three workers, or workers that do not start.
        """
        parts = iter(parts)
        head = list(islice(parts, 2))
        workers = fitting(fn) if self.workers is None else self.workers
        if workers == 1 or len(head) < 2:
            Local(self.progress).map(fn, chain(head, parts))
            return
        log.info("%d worker processes, %d thread%s each", workers, self.threads, "s" * (self.threads > 1))
        _Crew(pickle.dumps(fn), workers, self.threads).work_off(chain(head, parts), self.progress)


def fitting(fn: Work) -> int:
    """One worker a core; fewer where memory is short, one where the work is short or on an accelerator.

    Goes by what `fn` says of itself: `seconds`, `on_model` and `memory` of a worker (`parts.PartWork`).
    """
    if getattr(fn, "seconds", WORTH_IT) < WORTH_IT:
        return 1
    if getattr(fn, "on_model", False):
        import torch

        if torch.cuda.is_available():
            return 1
    fits = int(0.8 * memory_left() // max(getattr(fn, "memory", 1.0), 1.0))
    return max(1, min(cores(), fits))


def cores() -> int:
    """Processors this process may use: its affinity, and the quota of its container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        amount, period = quota.read_text().split()
        if amount != "max":
            count = min(count, max(1, int(amount) // int(period)))
    return count


def memory_left() -> float:
    """Bytes that could be taken without swapping."""
    about = Path("/proc/meminfo")
    if about.exists():
        line = next((line for line in about.read_text().splitlines() if line.startswith("MemAvailable:")), None)
        if line is not None:
            return 1024.0 * int(line.split()[1])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 2


@dataclass
class _Worker:
    """A process, the pipe to it, and what it is doing."""

    process: Any
    pipe: Connection
    part: Part | None = None
    ready: bool = False

    def end(self) -> None:
        """Whatever it is doing; the store knows no half parts."""
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()

    def death(self) -> str:
        """How it ended, in words."""
        self.process.join(5)
        code = self.process.exitcode
        return f"killed by signal {-code}, out of memory?" if code is not None and code < 0 else f"exit code {code}"


@dataclass
class _Crew:
    """Workers, and the parts that are theirs to do."""

    payload: bytes
    size: int
    threads: int
    workers: list[_Worker] = field(default_factory=list)
    waiting: deque[Part] = field(default_factory=deque)
    died_in: Counter[int] = field(default_factory=Counter)
    not_started: int = 0

    def work_off(self, parts: Iterator[Part], progress: Work | None) -> None:
        """All parts, each as soon as a worker is free; at most one a worker is under way."""
        try:
            while True:
                self.waiting.extend(islice(parts, max(self.size - len(self.waiting), 0)))
                if not self.waiting and not any(worker.part for worker in self.workers):
                    return
                idle = sum(worker.part is None for worker in self.workers)
                for _ in range(min(self.size - len(self.workers), len(self.waiting) - idle)):
                    self.workers.append(self._start())
                for worker in self.workers:
                    if worker.ready and worker.part is None and self.waiting:
                        self._give(worker, self.waiting.popleft())
                for pipe in wait([worker.pipe for worker in self.workers]):
                    self._hear(next(worker for worker in self.workers if worker.pipe is pipe), progress)
        finally:
            for worker in self.workers:
                worker.end()

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, self.payload, self.threads, 1 / self.size), daemon=True)
        with _environment(self.threads):
            process.start()
        there.close()  # so that its death ends the pipe
        return _Worker(process, here)

    def _give(self, worker: _Worker, part: Part) -> None:
        worker.part = part
        with contextlib.suppress(OSError):  # it died meanwhile: its pipe says so
            worker.pipe.send(part)

    def _hear(self, worker: _Worker, progress: Work | None) -> None:
        """Take an answer, or notice a death.

        Raises:
            ThresherError: a part that ended three workers, or workers that do not start.
        """
        try:
            failure = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if failure is not None:
            raise failure
        self.not_started = 0
        if worker.part is not None:
            part, worker.part = worker.part, None
            if progress is not None:
                progress(*part)
        worker.ready = True

    def _bury(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        how = worker.death()
        worker.pipe.close()
        if worker.part is None:
            self.not_started += not worker.ready
            if self.not_started >= ATTEMPTS:
                raise ThresherError(
                    f"worker processes do not start ({how}). A program of your own that uses workers must do its work "
                    'under `if __name__ == "__main__":`; else try --workers 1.'
                )
            return
        number, rows = worker.part
        self.died_in[number] += 1
        if self.died_in[number] >= ATTEMPTS:
            raise ThresherError(
                f"part {number} ({len(rows)} rows, the first {rows.slice(0, 1).ids()[0]}) ended {ATTEMPTS} workers; "
                f"the last: {how}. What is finished is kept: run the same command again with fewer --workers, or look "
                "at these rows."
            )
        log.warning("a worker died in part %d (%s); another one does the part again", number, how)
        self.waiting.appendleft(worker.part)


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What a new process starts with: threads of its numerical libraries, and deaf to Ctrl-C, which is ours."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    main = threading.current_thread() is threading.main_thread()
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, heard)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _serve(pipe: Connection, payload: bytes, threads: int, share: float) -> None:
    """A worker's life: say that it is there, then part after part."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    settle(threads)
    meter.has_share(share)
    try:
        fn = pickle.loads(payload)
        pipe.send(None)
        while (part := _next(pipe)) is not None:
            fn(*part)
            part[1].release()
            pipe.send(None)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
        pipe.send(_sendable(error))


def _next(pipe: Connection) -> Part | None:
    try:
        return pipe.recv()
    except EOFError:
        return None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(1)


def _sendable(error: Exception) -> Exception:
    """The error with its traceback as a note; one that does not pickle in words."""
    error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - any fault of its own pickling
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
