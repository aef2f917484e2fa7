"""Programs that a model wrote, run where they can harm nothing.

A program gets a process of its own with nothing of ours in its environment, no network, a file system that is read-only
but for an empty /tmp, nobody's rights, and limits on processor time, memory, processes and file sizes. What holds
differs from machine to machine: every verdict says what did. On Linux it takes root (also a container's) or
unprivileged user namespaces; elsewhere nothing is run.

This guards the machine, not the score: a program that tampers with its own tests can still call them passed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.errors import TaskError

INSIDE = Path(__file__).with_name("sandbox_inside.py")
GUARDS = ("network", "processes", "files", "messages")
HEARD = 1 << 16  # bytes of a report that are read
START = 10.0  # seconds the sandbox itself may take, on a busy machine


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: by the clock, and of the processor, for each of its processes.
        memory: bytes of address space of each process.
        processes: at the same time, threads counted.
        file: bytes of one file.
        scratch: bytes of all its files.
    """

    seconds: int = 10
    memory: int = 512 << 20
    processes: int = 8
    file: int = 8 << 20
    scratch: int = 32 << 20

    def to_dict(self) -> dict[str, int]:
        """By the kernel's names."""
        return {
            "CPU": self.seconds, "AS": self.memory, "NPROC": self.processes, "FSIZE": self.file, "NOFILE": 64,
            "CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0,
        }  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """How a program fared.

    Attributes:
        passed: it came to its end without an error.
        reason: passed, failed, time, memory, or killed (with the signal).
        message: the error's last line, as the program said it.
        seconds: by the clock, the sandbox's own start included.
        guards: which of network, processes, files and messages were its own.
    """

    passed: bool
    reason: str
    message: str
    seconds: float
    guards: tuple[str, ...]


def run(program: str, limits: Limits | None = None) -> Verdict:
    """Run a Python program to its end, or to its limits.

    Raises:
        TaskError: this machine offers no way to keep it from its owner's files and processes.
    """
    limits = limits or Limits()
    started = time.monotonic()
    if not sys.platform.startswith("linux"):
        raise TaskError(f"programs cannot be run safely on {sys.platform}. {_ways()}")
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="thresher-program-") as folder:
        os.chmod(folder, 0o777)  # noqa: S103 - where mounts cannot be had, nobody works here
        heard, late = _supervised(program, token, folder, limits)
    said: dict[str, Any] = {}
    for line in _lines(heard, token):
        said |= line
    if said.get("refused"):
        raise TaskError(f"programs cannot be run safely here: {said['refused']}. {_ways()}")
    if "guards" not in said or not ({"passed", "signal"} & said.keys() or late):
        raise TaskError(f"the sandbox did not start, or ended before its program did. {_ways()}")
    return Verdict(*_judged(said, late), time.monotonic() - started, tuple(map(str, said["guards"])))


def _judged(said: dict[str, Any], late: str) -> tuple[bool, str, str]:
    """(passed, reason, message)."""
    if "passed" in said:
        failed = "memory" if said.get("memory") else "failed"
        return said["passed"], "passed" if said["passed"] else failed, str(said.get("message", ""))
    if late or said["signal"] == signal.SIGXCPU:
        return False, "time", late or "it used up its seconds of the processor"
    if said["signal"]:
        return False, "killed", f"signal {signal.Signals(said['signal']).name}"
    return False, "failed", "it ended before its tests did"


def _supervised(program: str, token: str, folder: str, limits: Limits) -> tuple[bytes, str]:
    """What the sandbox reported, and why it was stopped if it was; nothing of it is left running."""
    hear, report = os.pipe()
    asked = {
        "program": program, "token": token, "folder": folder, "report": report, "limits": limits.to_dict(),
        "scratch_bytes": limits.scratch,
    }  # fmt: skip
    python = getattr(sys, "_base_executable", None) or sys.executable
    process = subprocess.Popen(
        [python, "-I", "-S", "-B", str(INSIDE)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, cwd=folder, pass_fds=(report,), start_new_session=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"},  # noqa: S108 - its own
    )  # fmt: skip
    os.close(report)
    try:
        assert process.stdin is not None, "asked for above"
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(asked).encode())
        heard, late = _listen(hear, float(limits.seconds))
    finally:
        os.close(hear)
        process.terminate()  # it ends its world, and waits until that is gone
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(START)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return heard, late


def _listen(hear: int, seconds: float) -> tuple[bytes, str]:
    """What is said until the program has ended or is to be stopped, and then why."""
    heard, until, begun = b"", time.monotonic() + START, False
    while len(heard) < HEARD:
        if not begun and b"\n" in heard:  # the program's time begins when its sandbox stands
            until, begun = time.monotonic() + seconds, True
        ready = select.select([hear], [], [], max(0.0, until - time.monotonic()))[0]
        if not ready:
            return heard, "it did not end in time"
        some = os.read(hear, 4096)
        if not some or b'"signal"' in some:
            return heard + some, ""
        heard += some
    return heard, "it wrote into the sandbox's report without end"


def _lines(heard: bytes, token: str) -> list[dict[str, Any]]:
    """Reports among whatever a program may have written there itself."""
    found = []
    for line in heard.split(b"\n"):
        with contextlib.suppress(ValueError):
            one = json.loads(line)
            found += [one] if isinstance(one, dict) and one.get("token") == token else []
    return found


def _ways() -> str:
    return (
        "Use Linux, as root (a container's root will do) or with unprivileged user namespaces allowed; or score the "
        "loss of the reference programs (measure: held_out)."
    )
