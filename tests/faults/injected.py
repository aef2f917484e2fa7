"""A command in a forked process, with a fault planted in it (`planted.py`): how it ends and what it says.

A fork has every import behind it, so a run takes as long as its work.
"""

from __future__ import annotations

import contextlib
import logging
import os
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
            assert time.monotonic() < until, self.read()
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
            self.read()
            if pid:
                break
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"it hangs: {self.read()}")
            time.sleep(0.002)
        for read in self.pipes:
            os.close(read)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        return Ended(code, *(said.decode(errors="replace") for said in self.said))

    def read(self) -> list[bytes]:
        """What it has said so far, on stdout and stderr."""
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
