"""Ctrl-C: the first stops cleanly, the second at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 130
_SAID = b"stopping: what is finished is kept; Ctrl-C again stops at once\n"


@contextmanager
def twice() -> Iterator[None]:
    """The first Ctrl-C inside raises KeyboardInterrupt, which everything cleans up after; the second ends it all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _first:  # after a first one the second stays, to the very end
            signal.signal(signal.SIGINT, before)


def _first(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _at_once)
    from thresher.cli import _lines

    if _lines.bars():  # else it would be no JSON
        os.write(2, _SAID)
    raise KeyboardInterrupt


def _at_once(number: int, frame: FrameType | None) -> None:
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(STOPPED)
