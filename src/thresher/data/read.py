"""A file, a datasets folder, a hub name or the demo, to a Pool.

Rows are streamed, checked and written to one Arrow file in the cache, which is then mapped into memory; the
next time the same bytes are asked for in the same way, the file is there already.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock
from jaxtyping import Int

from thresher.core.disk import writing
from thresher.core.pool import SCHEMA, Pool, Skipped, update_fingerprint
from thresher.data import kept, records
from thresher.data.formats import converter
from thresher.data.parse import Plan, parse
from thresher.data.records import Chunk
from thresher.errors import PoolError

VERSION = 1  # raise it when the same bytes give other rows
BATCH_BYTES = 16 << 20  # text of one batch of the Arrow file
DEMO = ("demo", "demo:target", "demo:test")


def load_pool(
    source: str, *, cache: Path, format: str | None = None, group: str | None = None, skip_bad: bool = False,
    name: str | None = None,
) -> Pool:  # fmt: skip
    """The rows of a source.

    Args:
        source: .jsonl, .json, .parquet or .csv, each also .gz; a folder `datasets` saved;
            hub:owner/name:split; demo, demo:target or demo:test.
        cache: a folder of ours; the pool's Arrow file goes to `pools/` in it.
        format: force a format instead of detecting it.
        group: the column that groups the rows; else source, group, subject or task, whichever is there.
        skip_bad: leave rows out that cannot be read, and count them.
        name: what to call the pool.

    Raises:
        PoolError: the source cannot be read at all.
        RowError: a row of it cannot.
    """
    if format is not None:
        converter(format)
    files, stream = _open(str(source))
    name = name or _short(str(source))
    options = {"version": VERSION, "format": format, "group": group, "skip_bad": skip_bad, "name": name}
    path = cache / "pools" / f"{_hash(files, options)}.arrow"
    if not kept.sound(path):
        plan = Plan(str(source), format=format, forced=format is not None, group=group, skip_bad=skip_bad)
        with writing(path), _alone(path):
            if not kept.sound(path):  # another process may have read it meanwhile
                _write(stream, plan, path, name)
    return Pool.open(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time reads a source; what a killed one left is taken away. A lock dies with its process."""
    locks = path.parents[1] / "locks"
    for folder in (path.parent, locks):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"pool-{path.stem}.lock"):
        for left in path.parent.glob(f".{path.stem}.*.part"):
            left.unlink(missing_ok=True)
        yield


def _short(source: str) -> str:
    """What a pool is called: the file's or folder's own name, without where it lies."""
    return source if source in DEMO or source.startswith("hub:") else Path(source).name


def _open(source: str) -> tuple[Sequence[Path | bytes], Iterator[Chunk]]:
    """(what its content depends on, its records).

    Raises:
        PoolError: there is no such file.
    """
    if source in DEMO:
        from thresher.data import synthetic

        rows = synthetic.rows()[DEMO.index(source)]
        return [json.dumps(rows).encode()], iter([Chunk(1, list(enumerate(rows, start=1)))])
    path = Path(source).expanduser()
    if source.startswith("hub:") or path.is_dir():
        from thresher.data import hub

        return hub.from_hub(source) if source.startswith("hub:") else hub.from_folder(path)
    if not path.exists():
        raise PoolError(_missing(path))
    return [path], records.chunks(path)


def _missing(path: Path) -> str:
    there = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there, n=3, cutoff=0.5)
    hint = f" Near names there: {', '.join(near)}." if near else ""
    if not path.parent.is_dir():
        hint = f" The folder {path.parent} is not there either."
    return f"no file {path}.{hint} Give a file, a folder that datasets saved, hub:owner/name:split, or demo."


def _hash(files: Sequence[Path | bytes], options: dict) -> str:
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for file in files:
        if isinstance(file, bytes):
            digest.update(hashlib.sha256(file).digest())
        else:
            digest.update(file.suffix.encode() + b"\0")
            with _readable(file).open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:32]


def _readable(path: Path) -> Path:
    if not os.access(path, os.R_OK):
        raise PoolError(f"{path} may not be read by you. Change its permissions.")
    return path


def _write(stream: Iterator[Chunk], plan: Plan, path: Path, name: str) -> None:
    """Stream into a file beside the path, then add what is only known at the end, then rename.

    Raises:
        PoolError: not one row could be read.
    """
    rows, whole = (path.with_name(f".{path.stem}.{os.getpid()}.{part}.part") for part in ("rows", "whole"))
    try:
        about, unnamed, signs = _stream(stream, plan, rows)
        about["name"] = name
        n, repeated = len(signs), _repeated(rows, signs)
        if n == 0:
            raise PoolError(_nothing(plan.source, about["skipped"]))
        numbered = _note_ids(about, n, unnamed, repeated)
        if numbered:
            about["fingerprint"] = _fingerprint(_batches(rows, numbered))
        schema = SCHEMA.with_metadata({"thresher": json.dumps(about, ensure_ascii=False)})
        with pa.OSFile(str(whole), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            for batch in _batches(rows, numbered):
                writer.write_batch(batch.replace_schema_metadata(schema.metadata))
        rows.unlink()  # a kill after the last rename leaves nothing
        kept.put(whole, path)
    finally:
        rows.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)


def _stream(stream: Iterator[Chunk], plan: Plan, path: Path) -> tuple[dict, int, Int[np.ndarray, " n"]]:
    """Write every good row; (what is known of them, rows without an id of their own, hashes of all ids)."""
    digest, unnamed, skipped = hashlib.sha256(), 0, []
    signs = [np.zeros(0, np.int64)]
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        waiting: list[pa.RecordBatch] = []
        size = 0
        for chunk in stream:
            parsed, plan = parse(chunk, plan)
            digest.update(parsed.signed)
            unnamed += parsed.unnamed
            skipped += parsed.skipped
            signs.append(np.fromiter(map(hash, parsed.ids), np.int64, len(parsed.ids)))
            waiting.append(parsed.batch())
            size += waiting[-1].nbytes
            if size > BATCH_BYTES:
                _flush(waiting, writer)
                size = 0
        _flush(waiting, writer)
    notes = [f"read as {plan.format}: {plan.reason}"]
    if plan.group is not None:
        notes.append(f"groups from the column '{plan.group}'")
    about = {
        "fingerprint": digest.hexdigest(),
        "format": plan.format,
        "skipped": [asdict(row) for row in skipped],
        "notes": notes,
    }
    return about, unnamed, np.concatenate(signs)


def _flush(waiting: list[pa.RecordBatch], writer: pa.ipc.RecordBatchFileWriter) -> None:
    rows = [batch for batch in waiting if batch.num_rows]
    if rows:
        writer.write_batch(pa.concat_batches(rows))
    waiting.clear()


def _repeated(path: Path, signs: Int[np.ndarray, " n"]) -> int:
    """Rows whose id an earlier one has: ids are compared where their hashes are equal, and only there."""
    rising = np.sort(signs)
    met = np.unique(rising[1:][rising[1:] == rising[:-1]])
    if not len(met):
        return 0
    known: set[str] = set()
    count = start = 0
    for batch in _batches(path, numbered=False):
        again = np.isin(signs[start : start + batch.num_rows], met)
        known.update(batch.column("id").filter(pa.array(again)).to_pylist())
        count += int(again.sum())
        start += batch.num_rows
    return count - len(known)


def _note_ids(about: dict, n: int, unnamed: int, repeated: int) -> bool:
    """Whether rows are to be numbered, because not every row has an id and not all differ; a note says so."""
    if unnamed == n:
        about["notes"].append("no 'id' column: rows are called row-<line>")
    elif unnamed or repeated:
        found = f"{unnamed} of {n} rows have no 'id'" if unnamed else f"{repeated} of {n} rows repeat an 'id'"
        about["notes"].append(f"{found}: rows are called row-<number>, in file order")
        return True
    return False


def _batches(path: Path, numbered: bool) -> Iterator[pa.RecordBatch]:
    """The batches of a file, read one at a time."""
    start = 1
    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_file(file)
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            if numbered:
                ids = pa.array([f"row-{start + j}" for j in range(batch.num_rows)], pa.large_string())
                batch = batch.set_column(0, SCHEMA.field("id"), ids)
            start += batch.num_rows
            yield batch


def _fingerprint(batches: Iterator[pa.RecordBatch]) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        update_fingerprint(digest, batch)
    return digest.hexdigest()


def _nothing(source: str, skipped: list[dict]) -> str:
    if skipped:
        first = Skipped(**skipped[0])
        return f"{source}: none of its {len(skipped)} rows can be read; line {first.line}: {first.reason}."
    return f"{source} has no rows. Give a file with at least one."
