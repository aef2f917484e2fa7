"""What stands between a written program and the machine. Run by `sandbox.py` as a script of its own; stdlib alone.

supervisor   leaves the host's namespaces (network, processes, mounts, messages), waits, and reports what guarded
└── init     process 1 of its own world: everything read-only but an empty /tmp, nobody's rights; its end ends all
    └── the program, under limits

Each guard is tried; the supervisor says which held, and refuses to run a program that could reach its owner's files
or processes.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

NOBODY = 65534
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_RDONLY = 442, -100, 0x8000, 1
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
HIDDEN = ("/run", "/home", "/root", "/mnt", "/media", "/srv", "/var/tmp", "/dev/shm")  # noqa: S108 - covered, not used
SCRATCH, LIBRARY = "/tmp", "/run/python"  # noqa: S108 - mounts of its own
SAID = 2000  # characters of an error that are reported

libc: Any = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Read what to run from standard input, and say on the descriptor `report` how it went."""
    asked = json.loads(sys.stdin.read())
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    guards = leave_namespaces()
    safe = os.getuid() == 0 or {"processes", "files"} <= set(guards)
    say(asked, guards=guards, refused="" if safe else "no namespaces of its own, and not root")
    if not safe:
        return
    init = os.fork()
    if init == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os._exit(as_init(asked, guards))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(init, signal.SIGKILL))
    os.waitpid(init, 0)  # of a world of its own, this returns when all in it have ended


def leave_namespaces() -> list[str]:
    """Names of the worlds that were left: network, processes, files, messages."""
    uid, gid, mapped = os.getuid(), os.getgid(), False
    if uid != 0 and libc.unshare(NEWUSER) == 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        mapped = True
    if uid != 0 and not mapped:
        return []
    worlds = {"network": NEWNET, "processes": NEWPID, "files": NEWNS, "messages": NEWIPC | NEWUTS}
    return [name for name, flag in worlds.items() if libc.unshare(flag) == 0]


def as_init(asked: dict[str, Any], guards: list[str]) -> int:
    """Close the world, give up every right, and run the program in a child."""
    if "files" in guards:
        close_files(asked["scratch_bytes"])
    else:
        os.chdir(asked["folder"])
    drop_rights()
    if not os.access(sys.path[0], os.R_OK):
        say(asked, refused="nobody may not read Python's own library")
        return 1
    program = os.fork()
    if program == 0:
        limit(asked["limits"])
        os._exit(execute(asked))
    end = os.waitpid(program, 0)[1]
    say(asked, signal=os.WTERMSIG(end) if os.WIFSIGNALED(end) else 0)
    return 0


def close_files(scratch_bytes: int) -> None:
    """Everything read-only, homes and sockets out of sight, an empty /tmp of a limited size, Python's library.

    Raises:
        OSError: the kernel would not: then nothing is run.
    """
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    library = Path(os.__file__).parent
    for path in filter(os.path.isdir, HIDDEN):
        check(cover(path, 4096), f"{path} out of sight")
        if path == os.path.dirname(LIBRARY):  # the first: the library may be in someone's home
            os.mkdir(LIBRARY)
            check(libc.mount(str(library).encode(), LIBRARY.encode(), None, MS_BIND, None), "Python's library")
            move_library(str(library))
    check(libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV, None) and cover("/proc", 4096), "own /proc")
    attributes = (ctypes.c_uint64 * 4)(ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    done = libc.syscall(MOUNT_SETATTR, AT_FDCWD, b"/", AT_RECURSIVE, ctypes.byref(attributes), size)
    check(done, "read-only mounts")
    check(cover(SCRATCH, scratch_bytes, mode="1777"), "own /tmp")
    os.chdir(SCRATCH)


def move_library(before: str) -> None:
    """Let Python find its library where it is now, also what packages that are open have not opened yet."""
    sys.path[:] = [LIBRARY, f"{LIBRARY}/lib-dynload"]
    for module in list(sys.modules.values()):
        if getattr(module, "__path__", None):
            module.__path__ = [path.replace(before, LIBRARY, 1) for path in module.__path__]


def cover(path: str, size: int, mode: str = "755") -> int:
    """An empty file system in memory over a folder; 0 where it worked."""
    options = f"size={size},nr_inodes=1000,mode={mode}".encode()
    return int(libc.mount(b"tmpfs", path.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options))


def check(failed: int, what: str) -> None:
    """Go no further where a guard that was promised does not hold.

    Raises:
        OSError: with the kernel's reason.
    """
    if failed:
        raise OSError(ctypes.get_errno(), f"the sandbox could not get {what}")


def drop_rights() -> None:
    """Nobody's user and group where we were root; no capability, and none to be had again."""
    for number in range(64):
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    check(libc.capset(header, nothing), "rid of its capabilities")
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def limit(limits: dict[str, int]) -> None:
    """Hard limits, so that they cannot be raised again."""
    for name, amount in limits.items():
        hard = amount + 1 if name == "CPU" else amount  # a second to be told, then killed
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (amount, hard))


def execute(asked: dict[str, Any]) -> int:
    """Run it as a main program; one that ends before its last line, however, has not passed."""
    try:
        exec(compile(asked["program"], "program.py", "exec"), {"__name__": "__main__"})  # noqa: S102 - its purpose
    except BaseException as error:  # noqa: BLE001 - SystemExit before the tests have run is a failure, too
        words = f"{type(error).__name__}: {error}"[:SAID].encode("utf-8", "replace").decode()
        say(asked, passed=False, memory=isinstance(error, MemoryError), message=words)
        return 1
    say(asked, passed=True)
    return 0


def say(asked: dict[str, Any], **words: object) -> None:
    """One line to whoever asked, under the token that a program is not told."""
    os.write(asked["report"], json.dumps({"token": asked["token"], **words}).encode() + b"\n")


if __name__ == "__main__":
    main()
