"""Files that are there whole or not at all, and what the disk says in one clear sentence."""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from thresher.errors import StoreError

log = logging.getLogger(__name__)
UNWRITABLE = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
    errno.ENAMETOOLONG, errno.EIO,
))  # fmt: skip


def write_bytes(path: Path, content: bytes) -> None:
    """A file that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time, by a lock file that dies with its process; whoever has to wait says so."""
    lock = FileLock(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("another process is at work here: waiting for %s", path)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def beside(folder: Path) -> Path:
    """The lock of a folder that is renamed into its place."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk says into one clear sentence, whichever library heard it.

    Raises:
        StoreError: the disk is full, or the folder cannot be written to.
        OSError: any other fault of the file system, as it is.
        SafetensorError: any other fault of a weights file, as it is.
        RuntimeError: any other fault, as it is.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise StoreError(
            f"cannot write {path}: {reason}. What was finished is kept; free some room or name another folder "
            "(--store, --out), and run the same command again to go on."
        ) from error


def _reason(error: Exception) -> str | None:
    """What the disk said; None where it is not about writing."""
    if isinstance(error, OSError) and error.errno is None and re.search(r"\d+ requested and \d+ written", str(error)):
        return "the disk took only a part of it (is it full?)"  # numpy
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno in UNWRITABLE else None
    number = re.search(r"\bos error (\d+)", str(error))  # safetensors, which is written in Rust
    if number is not None and int(number[1]) in UNWRITABLE:
        return os.strerror(int(number[1]))
    if isinstance(error, RuntimeError) and re.search("PytorchStreamWriter|inline_container|basic_ios", str(error)):
        return "torch could not write it (is the disk full?)"
    return None
