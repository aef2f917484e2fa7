"""Work that the tests send to a cluster; workers import it from here."""

from __future__ import annotations

import os
import pickle
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from thresher.compute.parts import PartWork
from thresher.core import parcel
from thresher.core.pool import Pool
from thresher.errors import NonFinite


@dataclass(frozen=True)
class Writes:
    """Leaves each part's rows, the process and its threads in a folder; fails as it is told to."""

    folder: Path
    dies_in: int = -1  # the worker that does this part is killed
    times: int = 1
    fails_in: int = -1
    pause: float = 0.0
    seen: bool = True

    def __call__(self, i: int, part: Pool) -> None:
        time.sleep(self.pause)
        if i == self.dies_in and len(list(self.folder.glob("died-*"))) < self.times:
            (self.folder / f"died-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if i == self.fails_in:
            raise NonFinite("planted")
        about = [str(os.getpid()), os.environ["OMP_NUM_THREADS"]]
        (self.folder / f"part-{i}").write_text("\n".join([*about, *part.ids()]))

    def reachable(self) -> bool:
        return self.seen


@dataclass(frozen=True)
class DiesIn:
    """Other work, whose worker is killed in the middle once: the part is measured and not yet written."""

    work: PartWork
    number: int
    died: Path

    def __call__(self, i: int, part: Pool) -> None:
        if i == self.number and not self.died.exists():
            self.work.signal.measure(self.work.state, part)
            self.died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.work(i, part)

    @property
    def sends_rows(self) -> bool:
        return self.work.sends_rows

    def packed(self) -> bytes:
        store, below = self.work.store, self.work.below
        if store.away is None:
            return pickle.dumps(self)
        return parcel.packed(self, store, *([] if below is None else [store.values(below)]))


def square(x: int) -> tuple[int, int]:
    return x * x, os.getpid()


def dies_once(path: Path) -> str:
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name
