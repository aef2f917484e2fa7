"""Faults put into a command on purpose: the command runs in a forked process, which is killed, refused or starved.

A fork has every import behind it, so a run takes as long as its work. Faults are planted with an audit hook of the
interpreter: it sees every file that is opened for writing and every rename, whoever asks for it, and counts them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from thresher.cli import main

Fault = Callable[[], None]  # called in the child before the command starts
SECONDS = 300.0  # a busy machine


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int  # minus the signal's number, where one ended it
    out: str
    err: str

    @property
    def clear(self) -> bool:
        """The user's mistake, said in a sentence."""
        return self.code == 2 and self.err.count("rror:") == 1 and "Traceback" not in self.err


class Running:
    """A command in a process of its own; what it says comes through pipes, which no disk can be too full for."""

    def __init__(self, arguments: tuple[object, ...], folder: Path, fault: Fault | None) -> None:
        pipes = [os.pipe(), os.pipe()]
        self.pid = os.fork()
        if self.pid == 0:
            _child([str(argument) for argument in arguments], folder, [write for _, write in pipes], fault)
        for _, write in pipes:
            os.close(write)
        self.pipes = [read for read, _ in pipes]
        for read in self.pipes:
            os.set_blocking(read, False)
        self.said = [b"", b""]

    def wait(self, reached: Callable[[], bool]) -> None:
        """Until something is so."""
        until = time.monotonic() + SECONDS
        while not reached():
            assert time.monotonic() < until, self._read()
            time.sleep(0.002)

    def send(self, number: int) -> None:
        """A signal."""
        os.kill(self.pid, number)

    def end(self) -> Ended:
        """How it ended.

        Raises:
            TimeoutError: it hangs.
        """
        until = time.monotonic() + SECONDS
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._read()
            if pid:
                break
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"it hangs: {self._read()}")
            time.sleep(0.002)
        for read in self.pipes:
            os.close(read)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return Ended(code, *(said.decode(errors="replace") for said in self.said))

    def _read(self) -> list[bytes]:
        for which, read in enumerate(self.pipes):
            with contextlib.suppress(BlockingIOError):
                while more := os.read(read, 1 << 16):
                    self.said[which] += more
        return self.said


def run(*arguments: object, folder: Path, fault: Fault | None = None) -> Ended:
    """A command from its start to its end."""
    return Running(arguments, folder, fault).end()


def start(*arguments: object, folder: Path, fault: Fault | None = None) -> Running:
    """A command that runs on."""
    return Running(arguments, folder, fault)


def _child(arguments: list[str], folder: Path, pipes: list[int], fault: Fault | None) -> None:
    """The command; never returns."""
    code = 70
    try:
        for number, write in enumerate(pipes, start=1):
            os.dup2(write, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        warnings.resetwarnings()
        logging.getLogger().handlers.clear()  # pytest's own
        torch.set_num_threads(1)  # threads do not survive a fork
        os.chdir(folder)
        if fault is not None:
            fault()
        try:
            main(arguments)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
    except BaseException:  # noqa: BLE001 - what main lets through is what a test wants to see
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Writes:
    """Counts what a process writes below some folders, and does something at one of them."""

    def __init__(self, *folders: Path, at: int | None = None, then: Callable[[], None] | None = None) -> None:
        self.folders, self.at, self.then = tuple(map(str, folders)), at, then
        self.count = 0

    def __call__(self) -> None:
        sys.addaudithook(self._seen)

    def _seen(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if mode is None else bool(set("wax+") & set(str(mode)))
            if not writes:
                return
        elif event in ("os.rename", "os.mkdir"):
            path = arguments[1] if event == "os.rename" else arguments[0]
        else:
            return
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path).startswith(self.folders):
            return
        self.count += 1
        if self.at is not None and self.count >= self.at and self.then is not None:
            self.then()


def kill() -> None:
    """kill -9 of oneself: nothing is cleaned up, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> Callable[[], None]:
    """The file system says no."""

    def then() -> None:
        raise OSError(number, os.strerror(number))

    return then


def killed_at(number: int, *folders: Path) -> Fault:
    """kill -9 at the n-th write."""
    return Writes(*folders, at=number, then=kill)


def refused_from(number: int, errno: int, *folders: Path) -> Fault:
    """Every write from the n-th on fails."""
    return Writes(*folders, at=number, then=refuse(errno))


def counted(into: Path, *folders: Path) -> Fault:
    """How many writes there are goes into a file: the whole length of a command, for the two above."""
    writes = Writes(*folders)

    def fault() -> None:
        writes()
        plain = os._exit

        def leave(code: int) -> None:
            found = writes.count
            into.write_text(json.dumps(found))
            plain(code)

        os._exit = leave

    return fault


def no_file_over(size: int) -> Fault:
    """A disk on which no file can grow beyond so many bytes: what libraries in other languages write meets it too."""

    def fault() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return fault
