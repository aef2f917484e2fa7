"""Faults that are planted in a command with an audit hook of the interpreter.

The hook sees every file that is opened for writing, every folder that is made, every rename and every deletion, whoever
asks for it in Python, and counts them.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from injected import Fault

HEAVY = {"thresher", "transformers", "accelerate", "peft", "plotly", "jinja2", "datasets", "scipy", "sklearn", "pandas"}
MADE = {"open": 0, "os.mkdir": 0, "os.rename": 1}  # which argument is the path that is written
GONE = {"os.remove": 0, "os.rmdir": 0}
Then = Callable[[str, int], None]  # then(path, flags of an open file or 0): what happens before the write does


class Writes:
    """Counts what a process changes below some folders, and does something at one of the changes."""

    def __init__(
        self, *folders: Path, at: int | None = None, then: Then | None = None, deletions: bool = False
    ) -> None:
        self.folders, self.at, self.then = tuple(map(str, folders)), at, then
        self.events = MADE | GONE if deletions else MADE
        self.count = 0

    def __call__(self) -> None:
        sys.addaudithook(self._seen)

    def _seen(self, event: str, arguments: tuple) -> None:
        if event not in self.events:
            return
        path, flags = arguments[self.events[event]], 0
        if event == "open":
            _, mode, flags = arguments
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if mode is None else bool(set("wax+") & set(str(mode)))
            if not writes:
                return
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path).startswith(self.folders):
            return
        if event == "os.mkdir" and os.path.isdir(path):  # there already: nothing is written
            return
        self.count += 1
        if self.at is not None and self.count >= self.at and self.then is not None:
            self.then(os.fspath(path), flags)


def refuse(number: int) -> Then:
    """The file system says no."""

    def then(path: str, flags: int) -> None:
        raise OSError(number, os.strerror(number))

    return then


def killed_at(number: int, *folders: Path) -> Fault:
    """kill -9 at the n-th change: of a file that is being opened, when it is there and nothing is in it yet."""

    def then(path: str, flags: int) -> None:
        changes.at = None
        if flags:
            os.open(path, flags & ~os.O_EXCL, 0o644)
        os.kill(os.getpid(), signal.SIGKILL)

    changes = Writes(*folders, at=number, then=then, deletions=True)
    return changes


def refused_from(number: int, errno: int, *folders: Path) -> Fault:
    """Every write from the n-th on fails; deleting does not, unless the disk is read-only."""
    return Writes(*folders, at=number, then=refuse(errno))


def paused_at(number: int, mark: Path, after: float, *folders: Path) -> Fault:
    """At the n-th write a mark is left and nothing goes on; broken off, cleaning up takes a while."""

    def then(path: str, flags: int) -> None:
        pause.at = None
        mark.touch()
        try:
            time.sleep(600)
        finally:
            time.sleep(after)

    pause = Writes(*folders, at=number, then=then)
    return pause


def counted(into: Path, *folders: Path) -> Fault:
    """How many writes and changes there are goes into a file: the whole length of a command, for those above.

    What it imported goes there too, for `warm`.
    """
    writes, changes, before = Writes(*folders), Writes(*folders, deletions=True), set(sys.modules)

    def fault() -> None:
        writes()
        changes()
        plain = os._exit

        def leave(code: int) -> None:
            found = {"writes": writes.count, "changes": changes.count, "modules": sorted(set(sys.modules) - before)}
            into.write_text(json.dumps(found))
            plain(code)

        os._exit = leave

    return fault


def warm(counts: Path) -> tuple[int, int]:
    """Import here what a counted command had to import, for the next forks; its writes, and changes of any kind."""
    found = json.loads(counts.read_text())
    for name in found["modules"]:
        if name.partition(".")[0] in HEAVY:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else a fork's first collection copies all that its parent has in memory: twice the time
    return found["writes"], found["changes"]


def no_file_over(size: int) -> Fault:
    """A disk on which no file can grow beyond so many bytes: what libraries in other languages write meets it too."""

    def fault() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return fault


def backwards() -> None:
    """time.time() falls by an hour with every call; files say so too."""
    told = iter(range(2_000_000_000, 0, -3600))
    time.time = lambda: float(next(told))
    time.time_ns = lambda: next(told) * 1_000_000_000
