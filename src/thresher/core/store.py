"""Store: every measured array under a key of all that changes a value.

    store/loss-3f2a9c…/values.npy, manifest.json     done
    store/loss-3f2a9c….part/000013.npy, own/          running, or interrupted

Parts are written beside their place and renamed into it; a folder loses its `.part` only when it is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from thresher.core.cost import Receipt
from thresher.core.method import Selector, Signal, describe
from thresher.errors import StoreError

Manifest = dict[str, Any]


class Store:
    """A folder of finished and unfinished measurements."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def key(self, method: Signal | Selector, **inputs: str | None) -> str:
        """Name and a hash of version, fields and inputs: nothing else, so neither part size nor device."""
        about = describe(method)
        about["fields"] = {k: v for k, v in about["fields"].items() if k not in inputs}  # type: ignore[attr-defined]
        text = json.dumps({**about, "inputs": inputs}, sort_keys=True, ensure_ascii=False)
        return f"{about['name']}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"

    def has(self, key: str) -> bool:
        """Whether a key is finished."""
        return (self.root / key / "manifest.json").exists()

    def read(self, key: str) -> np.ndarray:
        """(n, ...) the values, memory-mapped."""
        return np.load(self.root / key / "values.npy", mmap_mode="r")

    def manifest(self, key: str) -> Manifest:
        """What the values are, how they came to be and what they cost."""
        return json.loads((self.root / key / "manifest.json").read_text())

    @contextmanager
    def claim(self, key: str) -> Iterator[Path]:
        """The key's working folder, for one process at a time; a lock dies with its process."""
        folder = self.root / f"{key}.part"
        with writing(folder):
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / "locks" / f"{key}.lock"):
                if not self.has(key):
                    (folder / "own").mkdir(parents=True, exist_ok=True)
                yield folder

    def part_size(self, key: str, wanted: int) -> int:
        """Rows per part: as an interrupted run had it, else as wanted."""
        path = self.root / f"{key}.part" / "part_size"
        if not path.exists():
            write_bytes(path, str(wanted).encode())
        return int(path.read_text())

    def own(self, key: str) -> Path:
        """The method's own folder (checkpoints, say); it survives a restart."""
        done = self.root / key / "own"
        return done if done.exists() else self.root / f"{key}.part" / "own"

    def parts_done(self, key: str) -> set[int]:
        """Numbers of the parts that need not be measured again."""
        return {int(path.stem) for path in (self.root / f"{key}.part").glob("[0-9]*.json")}

    def write_part(self, key: str, i: int, values: np.ndarray, receipt: Receipt) -> None:
        """One part, whole or not at all; its receipt last, which is what marks it done."""
        folder = self.root / f"{key}.part"
        with writing(folder):
            temporary = folder / f".{i:06d}.{os.getpid()}.tmp.npy"
            try:
                np.save(temporary, values, allow_pickle=False)
                os.replace(temporary, folder / f"{i:06d}.npy")
            finally:
                temporary.unlink(missing_ok=True)
            write_bytes(folder / f"{i:06d}.json", json.dumps(receipt.to_dict()).encode())

    def note(self, key: str, name: str, values: dict[str, Any]) -> None:
        """A small fact about an unfinished measurement, kept over a restart."""
        write_bytes(self.root / f"{key}.part" / f"note-{name}.json", json.dumps(values).encode())

    def noted(self, key: str, name: str) -> dict[str, Any] | None:
        """The fact, if it was noted."""
        path = self.root / f"{key}.part" / f"note-{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def part_receipts(self, key: str) -> list[Receipt]:
        """What each finished part cost, in order."""
        paths = sorted((self.root / f"{key}.part").glob("[0-9]*.json"))
        return [Receipt.from_dict(json.loads(path.read_text())) for path in paths]

    def seal(self, key: str, manifest: Manifest) -> np.ndarray:
        """Join the parts, write the manifest, take `.part` away."""
        folder = self.root / f"{key}.part"
        with writing(folder):
            paths = sorted(folder.glob("[0-9]*.npy"))
            first = np.load(paths[0])
            shape = (sum(len(np.load(path, mmap_mode="r")) for path in paths), *first.shape[1:])
            joined = np.lib.format.open_memmap(folder / "values.npy.tmp", "w+", first.dtype, shape)
            start = 0
            for path in paths:
                part = np.load(path)  # one at a time: a map of each would stay resident
                joined[start : start + len(part)] = part
                start += len(part)
            joined.flush()
            del joined
            os.replace(folder / "values.npy.tmp", folder / "values.npy")
            write_bytes(folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False).encode())
            for path in [*folder.glob("[0-9]*.*"), *folder.glob("note-*.json"), folder / "part_size"]:
                path.unlink(missing_ok=True)
            os.replace(folder, self.root / key)
        return self.read(key)

    def drop(self, key: str) -> None:
        """Forget a measurement."""
        shutil.rmtree(self.root / key, ignore_errors=True)
        shutil.rmtree(self.root / f"{key}.part", ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """A file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            temporary.write_bytes(content)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk says into one clear sentence.

    Raises:
        StoreError: the disk is full, or the folder cannot be written to.
        OSError: any other fault of the file system, as it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (28, 30, 13, 122):  # full, read-only, not permitted, over quota
            raise
        raise StoreError(
            f"cannot write {path}: {error.strerror}. What was finished is kept; free some room or name another folder "
            "(--store, --out), and run the same command again to go on."
        ) from error
