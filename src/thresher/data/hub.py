"""Rows of the `datasets` library: a folder it saved, or a name on the hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thresher.core.answering import SECONDS, answers
from thresher.data.records import ROWS, Chunk
from thresher.errors import PoolError


def from_folder(path: Path) -> tuple[Sequence[Path], Iterator[Chunk]]:
    """A folder written by `save_to_disk`.

    Raises:
        PoolError: it is another folder, or holds several splits.
    """
    if (path / "dataset_dict.json").exists():
        splits = sorted(p.name for p in path.iterdir() if p.is_dir())
        raise PoolError(
            f"{path} holds several splits: {', '.join(splits)}. Give one, such as {path / splits[0]}."
        )
    if not (path / "state.json").exists():
        raise PoolError(
            f"{path} is a folder, but not one that datasets saved (no state.json). Give a file in it."
        )
    datasets = _datasets()
    try:
        rows = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise PoolError(f"{path} cannot be opened as a datasets folder: {error}") from error
    return [*sorted(path.glob("*.arrow")), path / "state.json"], _chunks(rows)


def from_hub(source: str) -> tuple[Sequence[Path | bytes], Iterator[Chunk]]:
    """hub:owner/name:split, or hub:owner/name:config:split.

    Raises:
        PoolError: the name cannot be read, or the hub not be reached.
    """
    name, *more = source.removeprefix("hub:").split(":")
    if not name or len(more) not in (1, 2) or not all(more):
        raise PoolError(
            f"cannot read {source!r}. Write hub:owner/name:split, or hub:owner/name:config:split."
        )
    from huggingface_hub import constants

    datasets = _datasets()
    if not constants.is_offline_mode() and not answers("dataset", name):
        raise PoolError(
            f"{source} cannot be fetched: the hub does not answer ({SECONDS} s). With HF_HUB_OFFLINE=1 what was "
            "fetched before is used; a file or folder needs no network."
        )
    try:
        rows = datasets.load_dataset(name, *more[:-1], split=more[-1])
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise PoolError(
            f"{source} cannot be fetched: {error}. It needs the network, unless it was fetched before "
            "(and HF_HUB_OFFLINE may be set); a file or folder needs none."
        ) from error
    files = [Path(file["filename"]) for file in rows.cache_files]
    return [source.encode(), *files], _chunks(rows)


def _chunks(rows: Any) -> Iterator[Chunk]:
    for start in range(0, len(rows), ROWS):
        part = rows.select(range(start, min(start + ROWS, len(rows)))).to_list()
        yield Chunk(start + 1, list(enumerate(part, start=start + 1)))


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise PoolError(
            "datasets folders and hub names need the package datasets: pip install datasets"
        ) from error
    return datasets
