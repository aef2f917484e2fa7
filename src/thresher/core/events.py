"""events.jsonl: what happens, a line of JSON each, for whoever watches from outside.

{"time": "2026-11-22T05:00:00.000000+00:00", "process": 71, "event": "part written", "key": "loss-3f2a9c", ...}

A line is one write at the end of the file, so that processes do not mix and a kill tears nothing; a line that a full
disk did tear is ended before the next one. Nothing is ever taken back: a run that goes on goes on writing below.
Which file it is stands in the environment, so that worker processes find it too.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thresher.core.disk import writing

FILE = "events.jsonl"
VARIABLE = "THRESHER_EVENTS"
log = logging.getLogger(__name__)


def emit(event: str, **about: Any) -> None:
    """One event: to the run's file, where there is one, and to the log (`--json-logs` shows it)."""
    line = {"time": datetime.now(UTC).isoformat(), "process": os.getpid(), "event": event, **about}
    log.debug("%s", event, extra={"event": line})
    path = os.environ.get(VARIABLE)
    if path:
        _append(Path(path), json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n")


def _append(path: Path, line: bytes) -> None:
    with writing(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, b"\n" + line if torn else line)
        finally:
            os.close(handle)


@contextmanager
def kept_in(folder: Path, what: str) -> Iterator[None]:
    """Events go to `folder`/events.jsonl inside: `what` started, and how it ended; warnings too."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str((folder / FILE).absolute())
    watch = _Warnings(logging.WARNING)
    logging.getLogger("thresher").addHandler(watch)
    emit(f"{what} started")
    try:
        yield
    except BaseException as error:
        emit(f"{what} stopped", error=type(error).__name__, message=str(error))
        raise
    else:
        emit(f"{what} ended")
    finally:
        logging.getLogger("thresher").removeHandler(watch)
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


class _Warnings(logging.Handler):
    """What is said with a warning's weight is an event too."""

    def emit(self, record: logging.LogRecord) -> None:
        emit("warning", logger=record.name, message=record.getMessage())


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a file, in order; a torn line is left out."""
    found = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
