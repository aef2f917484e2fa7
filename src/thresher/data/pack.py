"""Plain text cut and joined to pieces of equal length; nothing is lost, and every piece knows where it is from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from thresher.core.pool import SCHEMA, Pool, update_fingerprint
from thresher.core.store import writing
from thresher.data import kept
from thresher.errors import PoolError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Border = Literal["sentence", "token"]
VERSION = 1  # raise it when the same text gives other pieces
SENTENCE = re.compile(r"[.!?][\"')\]»”]*\s+|\n+\s*|[。！？]\s*")
ROWS_AT_ONCE = 512


@dataclass
class Piece:
    """Parts of documents, one a line: (document, from character, up to character, its text)."""

    parts: list[tuple[str, int, int, str]] = field(default_factory=list)
    tokens: int = 0

    def add(self, document: str, start: int, stop: int, text: str, tokens: int) -> None:
        """A part; where it goes on from the last one it is one part with it."""
        self.tokens += tokens
        if self.parts and self.parts[-1][0] == document and self.parts[-1][2] == start:
            name, first, _, before = self.parts.pop()
            self.parts.append((name, first, stop, before + text))
        else:
            self.parts.append((document, start, stop, text))

    def row(self, group: str | None, length: int) -> tuple[str, str, dict[str, Any]]:
        """(id, text, the row as others read it)."""
        name = f"{self.parts[0][0]}@{self.parts[0][1]}"
        text = "\n".join(part[3] for part in self.parts)
        row: dict[str, Any] = {"id": name, "text": text}
        if group is not None:
            row["source"] = group
        row["weight"] = max(self.tokens, 1) / length
        row["pieces"] = [{"id": part[0], "from": part[1], "to": part[2]} for part in self.parts]
        return name, text, row


class Packer:
    """Documents of one group in, pieces of `length` tokens out."""

    def __init__(self, length: int, border: Border, joint: int) -> None:
        self.length, self.border, self.joint = length, border, joint
        self.piece = Piece()

    def feed(self, document: str, text: str, starts: Int[np.ndarray, " t"]) -> Iterator[Piece]:
        """The pieces that are full; `starts` are the first characters of the document's tokens.

        A sentence stays whole unless it is longer than a piece.
        """
        at = 0
        for end in self._borders(text):
            while at < end:
                first, last = map(int, np.searchsorted(starts, [at, end]))
                room = self.length - self.piece.tokens - (self.joint if at == 0 and self.piece.parts else 0)
                stop = end
                if last - first > room:
                    whole = self.border == "sentence" and last - first <= self.length
                    if whole or room < 1:
                        yield self.end()
                        continue
                    stop = self._cut(starts, first + room, at, end)
                joint = self.joint if at == 0 and self.piece.parts else 0
                tokens = int(np.searchsorted(starts, stop)) - first + joint
                self.piece.add(document, at, stop, text[at:stop], tokens)
                at = stop

    def end(self) -> Piece:
        """What there is, full or not."""
        piece, self.piece = self.piece, Piece()
        return piece

    def _borders(self, text: str) -> list[int]:
        inner = [found.end() for found in SENTENCE.finditer(text)] if self.border == "sentence" else []
        return [*(end for end in inner if end < len(text)), len(text)]

    @staticmethod
    def _cut(starts: Int[np.ndarray, " t"], place: int, at: int, end: int) -> int:
        """The first character of a token; a character of several tokens is not cut."""
        while place < len(starts) and starts[place] <= at:
            place += 1
        return min(int(starts[place]), end) if place < len(starts) else end


def pack(
    pool: Pool, tokenizer: PreTrainedTokenizerBase, *, cache: Path, length: int = 256, border: Border = "sentence",
    name: str = "",
) -> Pool:  # fmt: skip
    """The pool's text in pieces of up to `length` tokens.

    Documents of one group are joined by a newline, in order, and cut at sentence or token borders; what is left of a
    group is a shorter piece. A piece's own row has its `weight` (tokens / length) and its `pieces`: document and
    characters, which together are every document, whole.

    Args:
        pool: rows of plain text.
        tokenizer: the encoder's, whose tokens are counted; its special tokens are not.
        cache: a folder of ours, as `load_pool` takes it.
        length: tokens of a piece.
        border: where text is cut; a sentence longer than a piece is cut between tokens.
        name: of the tokenizer, for the note.

    Raises:
        PoolError: rows with turns, or a length below 8 tokens.
    """
    if length < 8:
        raise PoolError(f"pieces of {length} tokens are no text. Cut to 8 or more; 256 is usual.")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise PoolError("the tokenizer has no tokenizer.json and cannot say where its tokens begin. Name another.")
    vocabulary = hashlib.sha256(backend.to_str().encode("utf-8", "surrogatepass")).hexdigest()
    sign = json.dumps([VERSION, pool.fingerprint, vocabulary, length, border, name])
    path = cache / "pools" / f"{hashlib.sha256(sign.encode()).hexdigest()[:32]}.arrow"
    if not kept.sound(path):
        note = f"cut to pieces of {length} tokens{f' of {name}' if name else ''} at {border} borders"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(_rows(pool, tokenizer, length, border), pool, note, path)
    return Pool.open(path)


def _rows(
    pool: Pool, tokenizer: PreTrainedTokenizerBase, length: int, border: Border
) -> Iterator[tuple[str, list[dict[str, Any]], str | None, str]]:
    """Rows of the pieces as the pool's table holds them.

    Raises:
        PoolError: a row with turns.
    """
    joint = len(tokenizer("\n", add_special_tokens=False)["input_ids"])
    packers: dict[str | None, Packer] = {}
    groups = pool.table["group"].to_pylist()
    documents = zip(pool.ids(), pool.messages(), groups, strict=True)
    for some in _some(documents):
        for name, messages, _ in some:
            if [m["role"] for m in messages] != ["text"]:
                raise PoolError(
                    f"{pool.name}: row {name} has turns, and only plain text is cut to pieces. Read it with --format "
                    "text, or leave --pack out."
                )
        found = tokenizer([messages[0]["content"] for _, messages, _ in some], add_special_tokens=False, verbose=False)
        for (name, messages, group), encoding in zip(some, found.encodings, strict=True):
            packer = packers.setdefault(group, Packer(length, border, joint))
            starts = np.array([start for start, _ in encoding.offsets], dtype=np.int64)
            for piece in packer.feed(name, messages[0]["content"], np.maximum.accumulate(starts)):
                yield _row(piece, group, length)
    for group, packer in packers.items():
        if packer.piece.parts:
            yield _row(packer.end(), group, length)


def _some(rows: Iterable[tuple]) -> Iterator[list[tuple]]:
    """Rows, some hundred at a time."""
    left = iter(rows)
    while some := list(islice(left, ROWS_AT_ONCE)):
        yield some


def _row(piece: Piece, group: str | None, length: int) -> tuple[str, list[dict[str, Any]], str | None, str]:
    name, text, row = piece.row(group, length)
    message = {"role": "text", "content": text, "extra": None}
    return name, [message], group, json.dumps(row, ensure_ascii=False)


def _write(rows: Iterator[tuple], pool: Pool, note: str, path: Path) -> None:
    """To a file beside the path, then again with what is known at its end, then renamed."""
    first, whole = (path.with_name(f".{path.stem}.{os.getpid()}.{part}.part") for part in ("rows", "whole"))
    digest, n = hashlib.sha256(), 0
    try:
        with pa.OSFile(str(first), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
            for some in _some(rows):
                columns = [pa.array(c, f.type) for c, f in zip(zip(*some, strict=True), SCHEMA, strict=True)]
                batch = pa.record_batch(columns, schema=SCHEMA)
                update_fingerprint(digest, batch)
                writer.write_batch(batch)
                n += len(some)
        about = {
            "fingerprint": digest.hexdigest(), "format": "text", "name": pool.name,
            "skipped": [{"line": s.line, "reason": s.reason} for s in pool.skipped],
            "notes": [*pool.notes, f"{note}: {len(pool):,} documents became {n:,} pieces"],
        }  # fmt: skip
        schema = SCHEMA.with_metadata({"thresher": json.dumps(about, ensure_ascii=False)})
        with pa.OSFile(str(first)) as file, pa.OSFile(str(whole), "wb") as out:
            reader = pa.ipc.open_file(file)
            with pa.ipc.new_file(out, schema) as writer:
                for i in range(reader.num_record_batches):
                    writer.write_batch(reader.get_batch(i).replace_schema_metadata(schema.metadata))
        first.unlink()  # a kill after the last rename leaves nothing
        kept.put(whole, path)
    finally:
        first.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)
