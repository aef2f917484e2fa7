"""A place that every machine reaches, by an address, for those that do not see each other's folders (fsspec).

    s3://bucket/prefix/thresher.txt                                        the first file, which says whose place it is
    s3://bucket/prefix/parts/loss-3f2a9c…/4096/000013.npy, 000013.json     a part; its receipt is written last
    s3://bucket/prefix/files/loss-3f2a9c…/…, loss-3f2a9c….files.json       a folder of a store; its list is written last

Files of a folder carry their checksum in their names, so that machines that leave the same folder do not mix. Nothing
is mapped or renamed there, and nothing deleted. What is fetched is held against the checksums that came along.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from thresher.core import checksum
from thresher.core.disk import write_bytes, writing
from thresher.core.sound import fault_of_part
from thresher.errors import StoreError

log = logging.getLogger(__name__)
FIRST = "thresher.txt"  # the first file at an address
PART = re.compile(r"\d+\.(npy|json)")  # of a key's working folder: these go one by one


@dataclass(frozen=True)
class Away:
    """An address and what is left and fetched there; who may do so is said by the environment, never by the address."""

    url: str

    def __post_init__(self) -> None:
        address = urlsplit(self.url)
        if "://" not in self.url or not address.netloc + address.path.strip("/"):
            raise StoreError(f"{self.url!r} is not an address such as s3://bucket/prefix or file:///shared/folder.")
        if "@" in address.netloc or address.query:
            raise StoreError(
                "the address of --parts-at holds a password or a signature, and it is written into cards and logs. "
                "Give credentials as its library takes them (AWS_PROFILE or AWS_ACCESS_KEY_ID for s3://), and name "
                f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}."
            )

    def reach(self) -> None:
        """Read there, and write where nothing is yet: asked before any work, so that a wrong address costs none."""
        if self._read(FIRST) is None:
            self._write(b"What machines of thresher hand each other: its docs/scale.md says how.\n", FIRST)

    def leave_part(self, folder: Path, key: str, size: int, number: int) -> None:
        """A finished part of a working folder, its receipt last."""
        for ending in ("npy", "json"):
            self._put(folder / f"{number:06d}.{ending}", f"parts/{key}/{size}/{number:06d}.{ending}")

    def leave_parts(self, folder: Path, key: str, size: int) -> None:
        """Those of a working folder that are not there: an upload was cut off, or the address is new."""
        there = set(self._names(f"parts/{key}/{size}"))
        for about in sorted(folder.glob("[0-9]*.json")):
            if about.name not in there and fault_of_part(about) is None:
                self.leave_part(folder, key, size, int(about.stem))

    def fetch_parts(self, folder: Path, key: str, size: int) -> None:
        """All finished parts that the working folder lacks; a damaged one is named and stays out."""
        place = f"parts/{key}/{size}"
        there = set(self._names(place))
        for name in sorted(name for name in there if name.endswith(".json") and not (folder / name).exists()):
            values = Path(name).with_suffix(".npy").name
            if values not in there:
                log.warning("%s: the values of part %s are not in %s any more", key, Path(name).stem, self.url)
                continue
            self._get(f"{place}/{values}", folder / values)
            self._get(f"{place}/{name}", folder / name)
            fault = fault_of_part(folder / name)
            if fault is not None:
                (folder / name).unlink()
                log.warning("%s: part %s in %s is damaged (%s) and is left out", key, Path(name).stem, self.url, fault)

    def leave(self, path: Path, name: str) -> None:
        """A file or folder under a name, but parts; one that is there unchanged is not sent again."""
        sums = {file: checksum.of_file_once(path / file) for file in _files(path)}
        listing = json.dumps(checksum.signed({"files": sums})).encode()
        if self._read(f"files/{name}.files.json") == listing:
            return
        for file, found in sums.items():
            self._put(path / file, _place(name, file, found))
        self._write(listing, f"files/{name}.files.json")

    def fetch(self, path: Path, name: str) -> bool:
        """What was left under a name, to a path here; whether it was there.

        Raises:
            StoreError: it was damaged since, or names a file outside.
        """
        listing = self._read(f"files/{name}.files.json")
        if listing is None:
            return False
        about = _sound(listing)
        if about is None:
            raise StoreError(f"the list of {name} in {self.url} is damaged: delete it there ({name}.files.json).")
        for file, wanted in about["files"].items():
            if Path(file).is_absolute() or ".." in Path(file).parts or "/" in str(wanted):
                raise StoreError(f"the list of {name} in {self.url} names {file!r}, which is outside of it: not read.")
            here = path / file
            if here.is_file() and checksum.of_file(here) == wanted:
                continue
            self._get(_place(name, file, wanted), here)
            if checksum.of_file(here) != wanted:
                here.unlink()
                raise StoreError(f"{file} of {name} in {self.url} is damaged: delete {name} there, it is left anew.")
        return True

    def _put(self, path: Path, place: str) -> None:
        with self._reached("written to") as (fs, base):
            if self._local:  # an object is there whole or not at all, a file is not
                fs.put_file(str(path), f"{base}/{place}.{os.getpid()}.tmp")
                os.replace(f"{base}/{place}.{os.getpid()}.tmp", f"{base}/{place}")
            else:
                fs.put_file(str(path), f"{base}/{place}")

    def _write(self, content: bytes, place: str) -> None:
        with self._reached("written to") as (fs, base):
            write_bytes(Path(base, place), content) if self._local else fs.pipe_file(f"{base}/{place}", content)

    @property
    def _local(self) -> bool:
        return self.url.startswith(("file://", "local://"))

    def _read(self, place: str) -> bytes | None:
        with self._reached("read") as (fs, base):
            try:
                return fs.cat_file(f"{base}/{place}")
            except FileNotFoundError:
                return None

    def _get(self, place: str, path: Path) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._reached("read") as (fs, base):
                fs.get_file(f"{base}/{place}", str(temporary))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _names(self, place: str) -> list[str]:
        with self._reached("read") as (fs, base):
            fs.invalidate_cache()
            try:
                found = fs.ls(f"{base}/{place}", detail=False)
            except FileNotFoundError:
                return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found)

    @contextmanager
    def _reached(self, how: str) -> Iterator[tuple[Any, str]]:
        """(file system, path of the address in it), and what its library says in one clear sentence.

        Raises:
            StoreError: its package is missing, or it refuses.
        """
        try:
            from fsspec.core import url_to_fs

            fs, base = url_to_fs(self.url, **({"auto_mkdir": True} if self._local else {}))
            yield fs, base.rstrip("/")
        except StoreError:
            raise
        except ImportError as error:
            raise StoreError(f"{self.url} needs a package ({error}); for s3: pip install 'thresher[s3]'.") from error
        except Exception as error:  # every library behind an address has exceptions of its own
            raise StoreError(
                f"{self.url} cannot be {how}: {type(error).__name__}: {error}. What is finished is kept: mend the "
                "address, the credentials or the network, and run the same command again."
            ) from error


def _place(name: str, file: str, found: str) -> str:
    return f"files/{name}/{file}".rstrip("/") + f".{found}"


def _files(path: Path) -> list[str]:
    """Relative names, a manifest last; "" for a file itself."""
    if path.is_file():
        return [""]
    found = [str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()]
    whole = [name for name in found if not PART.fullmatch(name) and not name.startswith(".") and ".tmp" not in name]
    return sorted(whole, key=lambda name: (name == "manifest.json", name))


def _sound(listing: bytes) -> dict[str, Any] | None:
    try:
        about = json.loads(listing)
    except ValueError:
        return None
    return about if isinstance(about, dict) and checksum.fits(about) and "files" in about else None

