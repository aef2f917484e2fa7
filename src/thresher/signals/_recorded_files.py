"""What a recording leaves in its folder: a file a point, whole or not there, and which row is where in them.

about.json       the pool's fingerprint, what is in the columns, the steps, the proxy's recipe
signs.npy        (n,) uint64, a sign of each row's id, words and group, sorted;  places.npy (n,) its row
000512.npy       (n, 3) float32 at step 512;  000512.target.npy (q, 3);  000512.json its receipts
flight.npy       (epochs, n, 3) float32 and flight-step.npy (epochs, n) int32, where recorded in flight
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt64

from thresher.core.cost import Receipt
from thresher.core.pool import Pool, sign_row
from thresher.core.store import write_bytes, writing
from thresher.errors import StoreError


@dataclass(frozen=True)
class Files:
    """A recording's folder."""

    folder: Path

    def claim(self, pool: Pool, about: dict[str, Any]) -> None:
        """Say what this folder is of, or find that it is of something else.

        Raises:
            StoreError: it is a recording of another pool, or of another proxy.
        """
        path = self.folder / "about.json"
        about = json.loads(json.dumps({"pool": pool.fingerprint, "rows": len(pool), **about}))
        if path.exists():
            old = self.about()
            differing = [key for key in about if old.get(key) != about[key]]
            if differing:
                what = "the pool has changed since" if "pool" in differing else f"its {', '.join(differing)} differ"
                raise StoreError(
                    f"{self.folder} holds a recording of another run: {what}. Record again: name another --store, or "
                    "take the old rows."
                )
            return
        signs = signs_of(pool)
        place = np.argsort(signs, kind="stable")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.save("signs.npy", signs[place])
        self.save("places.npy", place)
        write_bytes(path, json.dumps(about, indent=1, ensure_ascii=False).encode())

    def about(self) -> dict[str, Any]:
        """What the folder says it is."""
        return json.loads((self.folder / "about.json").read_text(encoding="utf-8"))

    def place(self, rows: Pool) -> Int[np.ndarray, " b"]:
        """(b,) where these rows stand in the recording.

        Raises:
            StoreError: a row that is not in it.
        """
        signs, wanted = np.load(self.folder / "signs.npy", mmap_mode="r"), signs_of(rows)
        at = np.minimum(np.searchsorted(signs, wanted), len(signs) - 1)
        absent = np.flatnonzero(signs[at] != wanted)
        if absent.size:
            raise StoreError(
                f"{absent.size} of {len(rows)} rows are not in the recording {self.folder}, first ids "
                f"{rows.take(absent[:5]).ids()}: the pool has changed since. Record it again."
            )
        return np.load(self.folder / "places.npy", mmap_mode="r")[at]

    def save(self, name: str, values: np.ndarray) -> None:
        """An array, whole or not at all."""
        temporary = self.folder / f".{os.getpid()}.{name}"
        with writing(self.folder):
            np.save(temporary, values, allow_pickle=False)
            os.replace(temporary, self.folder / name)

    def done(self, step: int) -> bool:
        """Whether this point was read."""
        return (self.folder / f"{step:06d}.json").exists()

    def finish(self, step: int, train: Receipt, read: Receipt) -> None:
        """Mark a point as read, and what it cost to get there."""
        receipts = {"train": train.to_dict(), "read": read.to_dict()}
        write_bytes(self.folder / f"{step:06d}.json", json.dumps(receipts).encode())

    def receipts(self) -> list[Receipt]:
        """Training the proxy, and reading rows with it."""
        points = [json.loads(path.read_text()) for path in sorted(self.folder.glob("[0-9]*.json"))]
        stages = {"train": "recording: train proxy", "read": "recording: read rows"}
        estimated = self.about()["estimated"]
        return [
            Receipt.merge(name, [Receipt.from_dict(point[key]) for point in points], estimated_flops=estimated[key])
            for key, name in stages.items()
        ]

    def values(self, step: int, place: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b 3"]:
        """Some rows' numbers at one point."""
        return np.load(self.folder / f"{step:06d}.npy", mmap_mode="r")[place]

    def target(self, steps: list[int]) -> Float[np.ndarray, "q t 3"]:
        """The target's numbers at all points."""
        return np.stack([np.load(self.folder / f"{step:06d}.target.npy") for step in steps], axis=1)

    def start_flight(self, epochs: int, n: int) -> None:
        """Empty arrays, unless an interrupted run left them: training again writes the same numbers again."""
        if not (self.folder / "flight-step.npy").exists():
            self.save("flight.npy", np.full((epochs, n, 3), np.nan, np.float32))
            self.save("flight-step.npy", np.full((epochs, n), -1, np.int32))

    def write_flight(
        self, epoch: int, step: int, place: Int[np.ndarray, " b"], values: Float[np.ndarray, "b 3"]
    ) -> None:
        """Some rows' numbers as training saw them; a row that fills up an epoch's last batch keeps its first."""
        steps = np.load(self.folder / "flight-step.npy", mmap_mode="r+")
        new = steps[epoch, place] < 0
        np.load(self.folder / "flight.npy", mmap_mode="r+")[epoch, place[new]] = values[new]
        steps[epoch, place[new]] = step

    def end_flight(self, total: int) -> None:
        """The mean of each step's rows, (epochs, total, 3), which is taken off."""
        values, steps = (np.load(self.folder / name) for name in ("flight.npy", "flight-step.npy"))
        means = np.zeros((len(values), total, 3))
        for epoch in range(len(values)):
            count = np.maximum(np.bincount(steps[epoch], minlength=total), 1)
            for k in range(3):
                means[epoch, :, k] = np.bincount(steps[epoch], weights=values[epoch, :, k], minlength=total) / count
        self.save("flight-mean.npy", means)

    def in_flight(self, place: Int[np.ndarray, " b"], *, centred: bool = True) -> Float[np.ndarray, "b t 3"]:
        """Some rows' numbers of each epoch, less the mean of the step in which they were seen."""
        values = np.load(self.folder / "flight.npy", mmap_mode="r")[:, place]
        if centred:
            steps, means = (np.load(self.folder / f"flight-{name}.npy", mmap_mode="r") for name in ("step", "mean"))
            values = values - np.stack([mean[at] for mean, at in zip(means, steps[:, place], strict=True)])
        return values.transpose(1, 0, 2)


def signs_of(rows: Pool) -> UInt64[np.ndarray, " b"]:
    """(b,) of each row's id, words and group; not of its place."""
    found = []
    for batch in rows.table.select(["id", "messages", "group"]).to_batches(max_chunksize=2048):
        for row in zip(*(batch.column(name).to_pylist() for name in ("id", "messages", "group")), strict=True):
            found.append(hashlib.blake2b(sign_row(row), digest_size=8).digest())
    return np.frombuffer(b"".join(found), dtype="<u8").astype(np.uint64)
