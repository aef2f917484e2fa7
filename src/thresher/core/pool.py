"""Pool: n examples in a fixed order, memory-mapped. A target is a Pool too."""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

from thresher.core import turns
from thresher.core.views import Views

SCHEMA = pa.schema(
    [
        ("id", pa.large_string()),
        ("messages", turns.MESSAGES),
        ("group", pa.large_string()),  # null where the rows have no group
        ("origin", pa.large_string()),  # the user's own row as JSON, untouched, for export
    ]
)
"""`extra` holds the other keys of a message (tool calls, names) as JSON, or null. Role "text" is plain text
that no template is put around."""

Message = dict[str, Any]
RELEASED = 32  # batches of 2,048 rows, after which mapped pages go back
MANY_GAPS, GAP_ROWS = 20_000, 10  # a view of a table costs a kilobyte; with so many, and so dense, a copy is cheaper


@dataclass(frozen=True)
class Skipped:
    """A row that was left out on request."""

    line: int
    reason: str


@dataclass(frozen=True, eq=False)
class Pool:
    """n examples in a fixed order.

    The table is read through a memory map, so opening a pool, counting it and taking rows of it costs no
    resident memory in proportion to its size.
    """

    table: pa.Table  # SCHEMA, (n,)
    fingerprint: str  # of the content: ids, messages and groups
    name: str = "pool"
    format: str = "messages"  # what the file was read as
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    path: Path | None = None  # the Arrow file behind the table, when it is all of it
    _map: mmap.mmap | None = field(default=None, repr=False)
    _views: Views | None = field(default=None, repr=False)  # which rows of which file, where it is some of them

    @classmethod
    def open(cls, path: Path) -> Pool:
        """Map an Arrow file written by `data.read`."""
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        table = pa.ipc.open_file(pa.py_buffer(mapped)).read_all()
        about = json.loads((table.schema.metadata or {}).get(b"thresher", b"{}"))
        return cls(
            table=table,
            fingerprint=about["fingerprint"],
            name=about["name"],
            format=about["format"],
            skipped=tuple(Skipped(**row) for row in about.get("skipped", ())),
            notes=tuple(about.get("notes", ())),
            path=path,
            _map=mapped,
        )

    @classmethod
    def from_messages(
        cls, messages: Sequence[Sequence[Message]], groups: Sequence[str | None] | None = None, *,
        ids: Sequence[str] | None = None, origin: Sequence[dict[str, Any]] | None = None, name: str = "pool",
    ) -> Pool:  # fmt: skip
        """A pool in memory, for tests and programs."""
        n = len(messages)
        rows = [[pack(m) for m in row] for row in messages]
        columns = [
            list(ids) if ids is not None else [f"row-{i}" for i in range(n)],
            rows,
            list(groups) if groups is not None else [None] * n,
            [json.dumps(o, ensure_ascii=False) for o in origin or [{"messages": list(row)} for row in messages]],
        ]
        table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
        return cls(table, fingerprint_of(table), name=name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a path and rows of it where that is known: workers map the same file. Else as these rows alone."""
        views = self._viewed()
        if views is not None:
            return _reopened, (views, self.fingerprint, self.name, self.notes)
        rows = pa.BufferOutputStream()  # Arrow's own pickle would take along what a slice leaves out
        with pa.ipc.new_stream(rows, self.table.schema) as writer:
            writer.write_table(self.table)
        about = (self.fingerprint, self.name, self.format, self.skipped, self.notes)
        return _received, (rows.getvalue().to_pybytes(), *about)

    def _viewed(self) -> Views | None:
        if self.path is not None:
            return Views(self.path.absolute(), np.array([[0, len(self)]]))
        return self._views

    def __len__(self) -> int:
        return self.table.num_rows

    def ids(self) -> list[str]:
        """(n,) the rows' names."""
        return self.table["id"].to_pylist()

    @cached_property
    def group_names(self) -> list[str]:
        """The groups there are, sorted; empty where no row has one."""
        return sorted(value for value in pc.unique(self.table["group"]).to_pylist() if value is not None)

    def group_index(self) -> Int[np.ndarray, " n"]:
        """(n,) each row's place in `group_names`; a row without a group has -1."""
        found = pc.index_in(self.table["group"], value_set=pa.array(self.group_names, pa.large_string()))
        return found.fill_null(-1).to_numpy().astype(np.int64)

    def messages(self) -> Iterator[list[Message]]:
        """Each row's turns in order, as chat templates take them."""
        for column in self._column("messages"):
            for row in column.to_pylist():
                yield [unpack(message) for message in row]

    def origin(self) -> Iterator[dict[str, Any]]:
        """Each row as the user wrote it."""
        for column in self._column("origin"):
            for text in column.to_pylist():
                yield json.loads(text)

    def origin_hash(self) -> str:
        """Of the user's own columns, which may change while the fingerprint stays."""
        digest = hashlib.sha256()
        for column in self._column("origin"):
            for text in column.to_pylist():
                digest.update(f"{text}\0".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _column(self, name: str) -> Iterator[pa.Array]:
        """Some rows of a column at a time; now and then the pages read so far are given back."""
        for number, batch in enumerate(self.table.select([name]).to_batches(max_chunksize=2048), start=1):
            yield batch.column(0)
            if number % RELEASED == 0:
                self.release()

    def prompt(self) -> list[str]:
        """(n,) everything before the last answer, one turn a line."""
        return self._said(turns.prompts)

    def answer(self) -> list[str]:
        """(n,) the last answer."""
        return self._said(turns.answers)

    def text(self) -> list[str]:
        """(n,) prompt, a newline, answer: what encoders and lexical methods read."""
        return self._said(turns.texts)

    def answered(self) -> Bool[np.ndarray, " n"]:
        """(n,) rows with an answer that holds a letter or a number; of the others nothing is said."""
        found = [turns.surely_answered(column) for column in self._column("messages")]
        return np.concatenate(found) if found else np.zeros(0, bool)

    def _said(self, read: Callable[[pa.LargeListArray], list[str]]) -> list[str]:
        return [words for column in self._column("messages") for words in read(column)]

    def take(self, index: Int[np.ndarray, " k"] | Sequence[int]) -> Pool:
        """These rows, in this order."""
        index = np.asarray(index, dtype=np.int64)
        sign = hashlib.sha256(self.fingerprint.encode() + index.tobytes()).hexdigest()
        return replace(self, table=self._rows(index), fingerprint=sign, path=None, _map=None, _views=None)

    def without(self, rows: Iterable[int]) -> Pool:
        """All rows but these, in order; what stays is not copied unless very many rows go."""
        gone = np.unique(np.fromiter(rows, dtype=np.int64))
        kept = np.setdiff1d(np.arange(len(self)), gone)
        if len(gone) > max(MANY_GAPS, len(self) // GAP_ROWS):
            return self.take(kept)
        edges = np.concatenate([[-1], gone, [len(self)]])
        runs = [(a + 1, b) for a, b in pairwise(edges) if b - a > 1]
        table = pa.concat_tables(self.table.slice(a, b - a) for a, b in runs) if runs else self.table.slice(0, 0)
        sign = hashlib.sha256(self.fingerprint.encode() + kept.tobytes()).hexdigest()
        viewed = Views(self.path.absolute(), np.array(runs)) if self.path is not None and runs else None
        return replace(self, table=table, fingerprint=sign, path=None, _views=viewed)

    def _rows(self, index: Int[np.ndarray, " k"]) -> pa.Table:
        """Rows batch by batch, giving pages back between batches: Arrow's own take joins all batches first.

        Raises:
            IndexError: a row that is not there.
        """
        n = len(self)
        if index.size and not (-n <= index.min() and index.max() < n):
            raise IndexError(f"rows {index.min()} to {index.max()} were asked for, of a pool with {n}")
        index = np.where(index < 0, index + n, index)
        order = np.argsort(index, kind="stable")
        wanted, taken, start = index[order], [], 0
        for batch in self.table.to_batches():
            inside = slice(*np.searchsorted(wanted, (start, start + batch.num_rows)))
            if inside.stop > inside.start:
                taken.append(batch.take(pa.array(wanted[inside] - start)))
                self.release()
            start += batch.num_rows
        rows = pa.Table.from_batches(taken, self.table.schema)
        if np.array_equal(wanted, index):
            return rows
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return rows.combine_chunks().take(pa.array(place))

    def slice(self, start: int, stop: int) -> Pool:
        """Rows start to stop, without a copy."""
        sign = hashlib.sha256(f"{self.fingerprint}[{start}:{stop}]".encode()).hexdigest()
        viewed = self._viewed()
        views = None if viewed is None else viewed.slice(start, stop)
        return replace(self, table=self.table.slice(start, stop - start), fingerprint=sign, path=None, _views=views)

    def alone(self) -> Pool:
        """The same rows without the file behind them: they are pickled as rows."""
        return replace(self, path=None, _views=None)

    def parts(self, size: int) -> Iterator[tuple[int, Pool]]:
        """(number, rows) for consecutive parts; pages of a finished part are given back to the system."""
        for number, start in enumerate(range(0, len(self), size)):
            yield number, self.slice(start, min(start + size, len(self)))
            self.release()

    def release(self) -> None:
        """Give the mapped pages back; they are read again when needed."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


@lru_cache(maxsize=2)
def _open_once(path: Path) -> Pool:
    return Pool.open(path)


def _reopened(views: Views, fingerprint: str, name: str, notes: tuple[str, ...]) -> Pool:
    """Rows of a file that another process named; the file is mapped once."""
    whole = _open_once(views.path)
    runs = [whole.table.slice(start, stop - start) for start, stop in views.rows.tolist()]
    table = pa.concat_tables(runs) if runs else whole.table.slice(0, 0)
    path = views.path if table.num_rows == len(whole) else None
    return replace(
        whole, table=table, fingerprint=fingerprint, name=name, notes=notes, path=path,
        _views=None if path is not None else views,
    )  # fmt: skip


def _received(rows: bytes, *about: Any) -> Pool:
    return Pool(pa.ipc.open_stream(rows).read_all(), *about)


def pack(message: Message) -> dict[str, str | None]:
    """A message as it is stored."""
    extra = {key: value for key, value in message.items() if key not in ("role", "content")}
    return {
        "role": message["role"],
        "content": message.get("content") or "",
        "extra": json.dumps(extra, ensure_ascii=False) if extra else None,
    }


def unpack(stored: dict[str, str | None]) -> Message:
    """A message as a chat template takes it."""
    message: Message = {"role": stored["role"], "content": stored["content"]}
    if stored["extra"]:
        message.update(json.loads(stored["extra"]))
    return message


def prompt_of(messages: Sequence[Message]) -> str:
    """Everything before the last answer, one turn a line."""
    return "\n".join(m["content"] for m in messages[: _last_answer(messages)])


def answer_of(messages: Sequence[Message]) -> str:
    """The last answer; of a plain text, the text."""
    return messages[_last_answer(messages)]["content"]


def text_of(messages: Sequence[Message]) -> str:
    """Prompt and answer joined by one newline."""
    return "\n".join(part for part in (prompt_of(messages), answer_of(messages)) if part)


def _last_answer(messages: Sequence[Message]) -> int:
    for at in range(len(messages) - 1, -1, -1):
        if messages[at]["role"] in turns.ANSWERS:
            return at
    return len(messages) - 1


def fingerprint_of(table: pa.Table) -> str:
    """Sixty-four hex digits of ids, messages and groups; the file format they came in does not matter."""
    digest = hashlib.sha256()
    for batch in table.select(["id", "messages", "group"]).to_batches():
        update_fingerprint(digest, batch)
    return digest.hexdigest()


def update_fingerprint(digest: hashlib._Hash, batch: pa.RecordBatch) -> None:
    """Add the rows of one batch; how rows are cut into batches does not matter."""
    rows = zip(*(batch.column(name).to_pylist() for name in ("id", "messages", "group")), strict=True)
    digest.update(b"".join(map(sign_row, rows)))


def sign_row(row: tuple[str, list[dict[str, Any]], str | None]) -> bytes:
    """One row as bytes that no other row has: what `json.dumps` writes without blanks, a third of its time."""
    name, messages, group = row
    said = ",".join(
        [
            f'{{"role":{_quoted(m["role"])},"content":{_quoted(m["content"])},"extra":{_quoted(m["extra"])}}}'
            for m in messages
        ]
    )
    return f"[{_quoted(name)},[{said}],{_quoted(group)}]\n".encode("utf-8", "surrogatepass")


def _quoted(text: str | None) -> str:
    return "null" if text is None else encode_basestring(text)
