"""Store: every measured array under a key of all that changes a value.

    store/loss-3f2a9c…/values.npy, manifest.json     done
    store/loss-3f2a9c….part/000013.npy, own/          running, or interrupted

Parts are written beside their place and renamed into it; a folder loses its `.part` only when it is whole. Every part,
the joined values and both kinds of JSON carry a checksum: what was damaged since is named and measured again. What is
finished may also be left at an address (`away.py`), and is taken from there where it is missing here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from thresher.core import checksum, events
from thresher.core.away import Away
from thresher.core.cost import Receipt
from thresher.core.disk import write_bytes, writing
from thresher.core.method import Selector, Signal, describe
from thresher.core.sound import fault_of, fault_of_part, join_parts
from thresher.errors import StoreError

Manifest = dict[str, Any]
log = logging.getLogger(__name__)


class Store:
    """A folder of finished and unfinished measurements; with `away`, of those that were finished elsewhere, too."""

    def __init__(self, root: Path | str, away: Away | None = None) -> None:
        self.root, self.away = Path(root) if away is None else Path(root).absolute(), away

    def key(self, method: Signal | Selector, **inputs: str | None) -> str:
        """Name and a hash of version, fields and inputs: nothing else, so neither part size nor device."""
        about = describe(method)
        about["fields"] = {k: v for k, v in about["fields"].items() if k not in inputs}  # type: ignore[attr-defined]
        text = json.dumps({**about, "inputs": inputs}, sort_keys=True, ensure_ascii=False)
        return f"{about['name']}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"

    def has(self, key: str) -> bool:
        """Whether a key is finished and undamaged."""
        folder = self.root / key
        return (folder / "manifest.json").exists() and fault_of(folder) is None

    def read(self, key: str) -> np.ndarray:
        """(n, ...) the values, memory-mapped."""
        return np.load(self.values(key), mmap_mode="r")

    def values(self, key: str) -> Path:
        """The file of them."""
        return self.root / key / "values.npy"

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
                    self._reopen(key)
                    if (folder / "manifest.json").exists() and fault_of(folder) is None:
                        self._finish(key)  # it was killed while it was being sealed
                if self.away is not None and not self.has(key):
                    self.away.fetch(self.root / key, key)
                if not self.has(key):
                    (folder / "own").mkdir(parents=True, exist_ok=True)
                    if self.away is not None:
                        self.away.fetch(folder, folder.name)
                yield folder

    def part_size(self, key: str, wanted: int) -> int:
        """Rows per part: as an interrupted run had it, else as wanted."""
        path = self.root / f"{key}.part" / "part_size"
        if not path.exists():
            write_bytes(path, str(wanted).encode())
        return int(path.read_text())

    def _size(self, key: str) -> int:
        return int((self.root / f"{key}.part" / "part_size").read_text())

    def own(self, key: str) -> Path:
        """The method's own folder (checkpoints, say); it survives a restart."""
        done = self.root / key / "own"
        return done if done.exists() else self.root / f"{key}.part" / "own"

    def parts_done(self, key: str) -> set[int]:
        """Numbers of the parts that need not be measured again; a damaged one is named and taken away."""
        if self.away is not None:
            self.away.fetch_parts(self.root / f"{key}.part", key, self._size(key))
        done = set()
        for about in sorted((self.root / f"{key}.part").glob("[0-9]*.json")):
            fault = fault_of_part(about)
            if fault is None:
                done.add(int(about.stem))
            else:
                log.warning("%s: part %s is damaged (%s) and is measured again", key, about.stem, fault)
                about.unlink(missing_ok=True)
        return done

    def write_part(self, key: str, i: int, values: np.ndarray, receipt: Receipt) -> None:
        """One part, whole or not at all; its receipt last, which is what marks it done."""
        folder = self.root / f"{key}.part"
        with writing(folder):
            temporary = folder / f".{i:06d}.{os.getpid()}.tmp.npy"
            try:
                np.save(temporary, values, allow_pickle=False)
                about = checksum.signed({**receipt.to_dict(), "values": checksum.of_file(temporary)})
                os.replace(temporary, folder / f"{i:06d}.npy")
            finally:
                temporary.unlink(missing_ok=True)
            write_bytes(folder / f"{i:06d}.json", json.dumps(about).encode())
        if self.away is not None:
            self.away.leave_part(folder, key, self._size(key), i)
        events.emit("part written", key=key, part=i, rows=len(values), seconds=receipt.seconds, flops=receipt.flops)

    def forget_part(self, key: str, i: int) -> None:
        """Take a part away here; at the address it stays."""
        for ending in ("json", "npy"):
            (self.root / f"{key}.part" / f"{i:06d}.{ending}").unlink(missing_ok=True)

    def lend(self, key: str) -> None:
        """Leave at the address what an unfinished measurement rests on, and parts that did not get there."""
        if self.away is not None:
            self.away.leave(self.root / f"{key}.part", f"{key}.part")
            self.away.leave_parts(self.root / f"{key}.part", key, self._size(key))

    def gather(self, key: str, parts: int) -> None:
        """Have all parts here that others left at the address.

        Raises:
            StoreError: one is not there, or damaged.
        """
        if self.away is None:
            return
        missing = set(range(parts)) - self.parts_done(key)
        if missing:
            raise StoreError(
                f"{key}: part {min(missing)} is not whole in {self.away.url} ({len(missing)} of {parts} are not). Run "
                "the same command again: they are measured again, the others are kept."
            )

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
        """Join the parts, write the manifest, take `.part` away.

        Raises:
            StoreError: a part was damaged after it was written.
        """
        folder = self.root / f"{key}.part"
        with writing(folder):
            sums = {"values": join_parts(key, folder)}
            notes = {path.stem.removeprefix("note-"): json.loads(path.read_text()) for path in _notes(folder)}
            whole = checksum.signed({**manifest, "notes": notes, "sums": sums})
            write_bytes(folder / "manifest.json", json.dumps(whole, indent=1, ensure_ascii=False).encode())
            self._finish(key)
        if self.away is not None:
            self.away.leave(self.root / key, key)
        events.emit("measured", key=key, rows=manifest.get("rows"), receipt=manifest.get("receipt"))
        return self.read(key)

    def _finish(self, key: str) -> None:
        """What a manifest is written for needs its parts no more."""
        folder = self.root / f"{key}.part"
        for path in [*folder.glob("[0-9]*.*"), *_notes(folder), folder / "part_size"]:
            path.unlink(missing_ok=True)
        os.replace(folder, self.root / key)

    def _reopen(self, key: str) -> None:
        """A damaged measurement becomes an unfinished one: its own folder and what preparing cost are kept."""
        folder, part = self.root / key, self.root / f"{key}.part"
        if not folder.exists():
            return
        fault = fault_of(folder) or "no manifest.json"
        log.warning("%s is damaged (%s) and is measured again", key, fault)
        if fault.startswith("values"):
            for name, values in self.manifest(key).get("notes", {}).items():
                write_bytes(folder / f"note-{name}.json", json.dumps(values).encode())
            shutil.rmtree(part, ignore_errors=True)
            os.replace(folder, part)
            for name in ("values.npy", "manifest.json"):
                (part / name).unlink(missing_ok=True)
        else:  # nothing says what preparing cost: it is done again, and paid for again
            shutil.rmtree(folder)

    def drop(self, key: str) -> None:
        """Forget a measurement."""
        shutil.rmtree(self.root / key, ignore_errors=True)
        shutil.rmtree(self.root / f"{key}.part", ignore_errors=True)


def _notes(folder: Path) -> list[Path]:
    return sorted(folder.glob("note-*.json"))
