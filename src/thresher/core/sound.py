"""Whether what rests in a store is as it was written, and how parts become one array."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from thresher.core import checksum
from thresher.errors import StoreError


def fault_of(folder: Path) -> str | None:
    """What is wrong with a finished measurement; one without checksums (before 0.2) is taken as it is."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"manifest.json: {error}"
    if not isinstance(manifest, dict) or not checksum.fits(manifest):
        return "manifest.json: its checksum is another"
    wanted = manifest.get("sums", {}).get("values")
    return None if wanted is None else _fault_of_values(folder / "values.npy", wanted)


def _fault_of_values(path: Path, wanted: str) -> str | None:
    try:
        return None if checksum.of_file_once(path) == wanted else f"values: the checksum of {path.name} is another"
    except OSError as error:
        return f"values: {error.strerror}"


def fault_of_part(about: Path) -> str | None:
    """What is wrong with a finished part."""
    try:
        said = json.loads(about.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return str(error)
    if not isinstance(said, dict) or not checksum.fits(said):
        return "the checksum of its receipt is another"
    return _fault_of_values(about.with_suffix(".npy"), said["values"]) if "values" in said else None


def join_parts(key: str, folder: Path) -> str:
    """Write values.npy out of the parts, one at a time (a map of each would stay resident); its checksum.

    Raises:
        StoreError: a part was damaged after it was written.
    """
    paths = sorted(folder.glob("[0-9]*.npy"))
    for path in paths:
        fault = fault_of_part(path.with_suffix(".json"))
        if fault is not None:
            path.with_suffix(".json").unlink(missing_ok=True)
            raise StoreError(f"{key}: part {path.stem} was damaged after it was written ({fault}). Run the same "
                             "command again: it is measured again, the others are kept.")  # fmt: skip
    first = np.load(paths[0])
    shape = (sum(len(np.load(path, mmap_mode="r")) for path in paths), *first.shape[1:])
    temporary = folder / "values.npy.tmp"
    joined = np.lib.format.open_memmap(temporary, "w+", first.dtype, shape)
    with temporary.open("rb") as file:
        found = checksum.of_bytes(file.read(joined.offset))
    start = 0
    for path in paths:
        part = np.ascontiguousarray(np.load(path))
        found = checksum.of_bytes(part.data.cast("B") if part.size else b"", found)
        joined[start : start + len(part)] = part
        start += len(part)
    joined.flush()
    del joined
    os.replace(temporary, folder / "values.npy")
    return f"{found:08x}"
