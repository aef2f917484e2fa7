"""Work that is sent to a machine which does not see this one's store: the files it names travel by the store's address.

While the work is pickled, every path inside the store is left at the address and sent as its place in the store; where
it is unpickled, a store of its own is made in a temporary folder and the files are fetched into it. Rows of a pool are
sent as rows. Paths outside the store (a model's folder) are sent as they are and must be there.
"""

from __future__ import annotations

import atexit
import io
import os
import pickle
import shutil
import tempfile
from pathlib import Path, PurePath
from typing import Any

from thresher.core.away import Away
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import StoreError

_made: list[Path] = []  # folders of stores that work was unpacked into by this process


def packed(work: Any, store: Store, *files: Path) -> bytes:
    """The work and what it names of the store, and these files of it; `pickle.loads` unpacks it."""
    assert store.away is not None, "a store without an address is sent as it is"
    sent = io.BytesIO()
    _Packer(sent, store.root, store.away).dump((work, [str(file) for file in files]))
    return pickle.dumps(_Parcel(store.away.url, sent.getvalue()))


def made_here(root: Path) -> bool:
    """Whether a store's folder came into being by unpacking, so that nobody else reads it."""
    return root in _made


def clear() -> None:
    """Take away the folders that were made here."""
    while _made:
        shutil.rmtree(_made.pop(), ignore_errors=True)


class _Parcel:
    """Pickles as what was sent, unpickles as the work itself."""

    def __init__(self, url: str, sent: bytes) -> None:
        self.url, self.sent = url, sent

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (self.url, self.sent)


def _unpacked(url: str, sent: bytes) -> Any:
    if not _made:
        atexit.register(clear)
    root = Path(tempfile.mkdtemp(prefix="thresher-")).absolute()
    _made.append(root)
    work, _ = _Unpacker(io.BytesIO(sent), root, Away(url)).load()
    return work


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, root: Path, away: Away) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.root, self.away = str(root), away
        self.left: set[str] = set()

    def persistent_id(self, one: Any) -> tuple[bool, str, bool] | None:
        """A path inside the store, by its place there."""
        if not isinstance(one, str | PurePath):
            return None
        text = os.fspath(one)
        if text != self.root and not text.startswith(self.root + os.sep):
            return None
        name = os.path.relpath(text, self.root)
        whole = _whole(name)
        if name != "." and whole not in self.left and os.path.exists(os.path.join(self.root, whole)):
            self.away.leave(Path(self.root, whole), whole)
            self.left.add(whole)
        return isinstance(one, str), name, whole in self.left

    def reducer_override(self, one: Any) -> Any:
        """A pool as its rows: its file need not be there."""
        return one.alone().__reduce__() if isinstance(one, Pool) else NotImplemented


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, root: Path, away: Away) -> None:
        super().__init__(file)
        self.root, self.away = root, away
        self.there: set[str] = set()

    def persistent_load(self, sent: tuple[bool, str, bool]) -> str | Path:
        """The same place in the store that is here.

        Raises:
            StoreError: what was left at the address is there no more.
        """
        is_text, name, was_left = sent
        whole = _whole(name)
        if was_left and whole not in self.there:
            if not self.away.fetch(self.root / whole, whole):
                raise StoreError(f"{whole} was left in {self.away.url} and is not there any more.")
            self.there.add(whole)
        path = self.root / name if name != "." else self.root
        return str(path) if is_text else path


def _whole(name: str) -> str:
    """What goes together: a signal may look beside the file it names, in its own folder or a model's."""
    return str(PurePath(*PurePath(name).parts[:2]))
