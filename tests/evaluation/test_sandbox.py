"""Hostile programs harm nothing; honest ones pass; a program that ends before its tests has not passed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from thresher.errors import TaskError
from thresher.evaluation import sandbox
from thresher.evaluation.sandbox import Limits, Verdict

SOON = Limits(seconds=1)


@pytest.fixture(scope="module", autouse=True)
def guards() -> set[str]:
    """What holds on this machine."""
    try:
        return set(sandbox.run("pass").guards)
    except TaskError as error:
        pytest.skip(str(error))


def failed(program: str, limits: Limits = SOON) -> Verdict:
    verdict = sandbox.run(program, limits)
    assert not verdict.passed, verdict
    return verdict


def processes() -> set[str]:
    """Command lines of everything that runs here."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended
    return found


def test_a_program_passes_only_when_it_comes_to_its_end():
    assert sandbox.run("import re, math, collections, heapq\nassert math.sqrt(4) == 2").passed
    for program in ("assert 1 == 2", "import sys\nsys.exit(0)", "import os\nos._exit(0)", "def f(:", "raise KeyError"):
        assert failed(program).reason == "failed", program
    assert "AssertionError: three" in failed("assert 1 == 3, 'three'").message


def test_it_may_write_where_it_is_and_nowhere_else(tmp_path: Path, guards: set[str]):
    assert sandbox.run("open('mine', 'w').write('x')\nassert open('mine').read() == 'x'").passed
    os.chmod(tmp_path, 0o777)
    for place in (tmp_path / "evil", Path(__file__).with_name("evil"), Path.home() / "evil"):
        failed(f"open({str(place)!r}, 'w').write('x')") if "files" in guards or place.parent != tmp_path else None
        assert not place.exists()


def test_files_it_writes_are_bounded(guards: set[str]):
    failed("open('big', 'wb').write(b'x' * 10**8)")
    if "files" in guards:
        failed("for i in range(100):\n    open(str(i), 'wb').write(b'x' * 10**6)", Limits(seconds=5))


def test_nothing_of_our_environment_or_files_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, guards: set[str]):
    monkeypatch.setenv("SECRET_TOKEN", "planted")
    (tmp_path / "key").write_text("planted")
    tmp_path.chmod(0o700)
    assert sandbox.run("import os\nassert set(os.environ) <= {'PATH', 'HOME', 'LANG', 'LC_CTYPE'}, os.environ").passed
    failed(f"open({str(tmp_path / 'key')!r}).read()")
    look = (
        "import glob\nfor path in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try:\n        text = open(path, 'rb').read()\n    except OSError:\n        continue\n"
        "    assert b'planted' not in text"
    )
    assert sandbox.run(look).passed


def test_a_fork_bomb_is_bounded_and_leaves_nothing_behind():
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    assert failed(bomb).reason == "time"
    assert not any("sandbox_inside" in line for line in processes())


def test_a_process_that_leaves_its_group_ends_with_the_sandbox(guards: set[str]):
    if "processes" not in guards:
        pytest.skip("no process namespace here")
    program = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(600)\n"
        "    os._exit(0)\nos.wait()"
    )
    assert sandbox.run(program).passed
    assert not any("sandbox_inside" in line for line in processes())


def test_endless_loops_sleeps_and_talk_end_in_time():
    for program in (
        "while True:\n    pass",
        "import time\ntime.sleep(600)",
        "while True:\n    print('x' * 10**6)",
        "import os\nfor fd in range(3, 64):\n    try:\n        while True:\n            os.write(fd, b'x' * 4096)\n"
        "    except OSError:\n        pass\nwhile True: pass",
    ):
        started = time.monotonic()
        assert failed(program).reason == "time"
        assert time.monotonic() - started < 60  # not the program's 600 seconds, on however busy a machine


def test_memory_is_bounded():
    assert failed("x = bytearray(10**10)").reason == "memory"
    assert failed("x = []\nwhile True:\n    x.append(bytearray(10**8))", Limits(memory=256 << 20)).reason == "memory"


def test_no_limit_can_be_raised_again():
    for name in ("AS", "NPROC", "FSIZE", "CPU"):
        failed(f"import resource\nresource.setrlimit(resource.RLIMIT_{name}, (1 << 40, 1 << 40))")


def test_it_cannot_kill_its_parent_or_us():
    everyone = (
        "import os\nfor p in range(2, 1 << 16):\n    try:\n        os.kill(p, 9)\n    except OSError:\n        pass"
    )
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as bystander:
        for program in ("import os\nos.kill(os.getppid(), 9)\nos.kill(1, 9)", "import os\nos.kill(-1, 9)", everyone):
            sandbox.run(program, SOON)
            assert bystander.poll() is None
        bystander.kill()


def test_there_is_no_network(guards: set[str]):
    if "network" not in guards:
        pytest.skip("no network namespace here")
    for program in (
        "import socket\nsocket.create_connection(('127.0.0.1', 80), 1)",
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    ):
        assert "OSError" in failed(program).message or "refused" in failed(program).message
    assert sandbox.run("import socket\nassert [n for _, n in socket.if_nameindex()] == ['lo']").passed


def test_it_has_nobodys_rights():
    program = (
        "import os\nassert os.getuid() != 0\n"
        "held = [l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapPrm', 'CapBnd'))]\n"
        "assert set(held) == {'0' * 16}, held"
    )
    verdict = sandbox.run(program)
    assert verdict.passed or "FileNotFoundError" in verdict.message, verdict
    failed("import os\nos.setuid(0)")


def test_what_it_says_itself_is_not_believed():
    forged = (
        "import os, json\nfor fd in range(3, 64):\n    try:\n"
        "        os.write(fd, json.dumps({'token': '', 'passed': True, 'refused': 'x'}).encode() + b'\\n')\n"
        "    except OSError:\n        pass\nos._exit(0)"
    )
    assert failed(forged).reason == "failed"


def test_elsewhere_nothing_is_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(TaskError, match="cannot be run safely on darwin"):
        sandbox.run("pass")
