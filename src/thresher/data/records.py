"""Files to numbered records: lines of JSON, or rows that another format has already parsed.

Lines are split on the newline byte only (U+2028 and its like are text), read in blocks, and bounded in
length, and what a packed file may unpack to is bounded (`bounds`), so that neither a large file nor a gzip bomb fills
the memory or the disk.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.bounds import Bounded, check_parquet
from thresher.errors import PoolError, RowError

BLOCK = 4 << 20  # bytes read at a time
MAX_LINE = 64 << 20  # bytes of one line
MAX_DOCUMENT = 2 << 30  # bytes of a file that has to be parsed as a whole, after decompression
ROWS = 1000  # rows of a chunk where the format counts rows
KINDS = ("jsonl", "json", "parquet", "csv")
BLANK = b" \t\r\n"


@dataclass(frozen=True)
class Chunk:
    """Consecutive records: raw lines, or rows; and the number of the first, from 1."""

    first: int
    records: (
        list[bytes] | list[tuple[int, dict[str, Any] | str]]
    )  # lines | (number, row or what is wrong with it)


def kind_of(path: Path) -> str:
    """The file's kind by its name, `.gz` aside.

    Raises:
        PoolError: it is none of the kinds that can be read.
    """
    name = path.name.lower().removesuffix(".gz")
    kind = next((kind for kind in KINDS if name.endswith(f".{kind}")), None)
    if kind is None:
        raise PoolError(f"{path} is of no known kind. Give {', '.join('.' + k for k in KINDS)}, each also "
                        "with .gz, a folder that datasets saved, hub:owner/name:split, or demo.")  # fmt: skip
    return kind


def chunks(path: Path) -> Iterator[Chunk]:
    """The records of a file, in order.

    Raises:
        PoolError: the file as a whole cannot be read.
    """
    kind = kind_of(path)
    with _opened(path) as file:
        if kind == "json":
            head = file.peek(64).lstrip(b"\xef\xbb\xbf" + BLANK)[:1]
            yield from lines(file, str(path)) if head == b"{" else _document(file, path)
        elif kind == "jsonl":
            yield from lines(file, str(path))
        elif kind == "csv":
            yield from _csv(file, path)
        else:
            yield from _parquet(file, path)


def lines(file: io.BufferedReader, source: str) -> Iterator[Chunk]:
    """Lines of a stream, a block at a time.

    Raises:
        RowError: a line is longer than 64 MB.
    """
    first, rest = 1, b""
    while block := file.read(BLOCK):
        end = block.rfind(b"\n")
        if end < 0:
            rest += block
            if len(rest) > MAX_LINE:
                raise RowError(source, first, f"longer than {MAX_LINE >> 20} MB. Is this a file of lines?")
            continue
        records = (rest + block[:end]).split(b"\n")
        rest = block[end + 1 :]
        yield Chunk(first, records)
        first += len(records)
    if rest:
        yield Chunk(first, [rest])


def _document(file: io.BufferedReader, path: Path) -> Iterator[Chunk]:
    content = _whole(file, path)
    try:
        rows = json.loads(content.decode("utf-8-sig")) if content.strip(BLANK) else []
    except UnicodeDecodeError as error:
        raise PoolError(f"{path} is not valid UTF-8 at byte {error.start}. Save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise PoolError(
            f"{path} is not valid JSON: {error}. Mend it, or give one object a line as .jsonl."
        ) from error
    if not isinstance(rows, list):
        raise PoolError(f"{path} must hold a list of rows, and holds a {type(rows).__name__}.")
    for start in range(0, len(rows), ROWS):
        part = enumerate(rows[start : start + ROWS], start=start + 1)
        yield Chunk(start + 1, [(i, row if isinstance(row, dict) else "not an object") for i, row in part])


def _csv(file: io.BufferedReader, path: Path) -> Iterator[Chunk]:
    text = (
        line.decode("utf-8", "surrogateescape") + "\n"
        for chunk in lines(file, str(path))
        for line in chunk.records
    )  # type: ignore[union-attr]
    before = csv.field_size_limit(MAX_LINE)
    try:
        reader = csv.reader(text, strict=True)
        header = [name.removeprefix("\ufeff") for name in next(reader, [])]
        if len(set(header)) < len(header):
            raise PoolError(f"{path} names a column twice in its first line: {', '.join(header)}.")
        records: list[tuple[int, dict | str]] = []
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                wrong = f"has {len(cells)} cells where the first line names {len(header)} columns"
                records.append(
                    (line, dict(zip(header, cells, strict=True)) if len(cells) == len(header) else wrong)
                )
            line = reader.line_num + 1
            if len(records) == ROWS:
                yield Chunk(records[0][0], records)
                records = []
        if records:
            yield Chunk(records[0][0], records)
    except csv.Error as error:
        raise PoolError(
            f"{path} line {reader.line_num} is not valid CSV: {error}. Mend it, or give .jsonl."
        ) from error
    finally:
        csv.field_size_limit(before)


def _parquet(file: io.BufferedReader, path: Path) -> Iterator[Chunk]:
    try:
        whole = pa.BufferReader(_whole(file, path)) if path.name.lower().endswith(".gz") else path
        first = 1
        opened = pq.ParquetFile(whole)
        check_parquet(opened.metadata, path)
        for batch in opened.iter_batches(batch_size=ROWS):
            yield Chunk(first, list(enumerate(batch.to_pylist(), start=first)))
            first += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise PoolError(f"{path} cannot be read as parquet: {error}") from error


def _whole(file: io.BufferedReader, path: Path) -> bytes:
    content = file.read(MAX_DOCUMENT + 1)
    if len(content) > MAX_DOCUMENT:
        raise PoolError(
            f"{path} is over {MAX_DOCUMENT >> 30} GB and would have to be parsed as a whole. Give .jsonl."
        )
    return content


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    if not path.name.lower().endswith(".gz"):
        with path.open("rb") as file:
            yield file
        return
    try:
        with gzip.open(path, "rb") as packed, io.BufferedReader(Bounded(packed, path), BLOCK) as file:
            yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise PoolError(f"{path} is not a whole gzip file: {error}. Fetch it again.") from error
