"""Records to rows of a pool: decoded, checked, turned into messages, named and signed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from thresher.core import turns
from thresher.core.pool import SCHEMA, Message, Skipped, pack, sign_row
from thresher.data.formats import BadRow, converter, detect
from thresher.data.records import BLANK, Chunk
from thresher.errors import PoolError, RowError

GROUP_COLUMNS = ("source", "group", "subject", "task")


@dataclass(frozen=True)
class Plan:
    """How the rows of one source are read; the open questions are settled by the first good row."""

    source: str
    format: str | None = None
    forced: bool = False
    group: str | None = None
    grouped: bool = False  # whether the group column is settled
    skip_bad: bool = False
    first: int = 0  # number of the row that settled the format
    reason: str = ""

    def settle(self, row: dict[str, Any], number: int) -> Plan:
        """The plan after looking at the first good row.

        Raises:
            PoolError: the column that was asked for as group is not there.
            BadRow: the row is of no known format.
        """
        name, reason = (self.format, "as told by --format") if self.forced else detect(row)
        group = self.group
        if group is None:
            group = next((column for column in GROUP_COLUMNS if column in row), None)
        elif group not in row:
            raise PoolError(
                f"{self.source} has no column {group!r} to group by. Its columns: {', '.join(row)}."
            )
        return replace(self, format=name, reason=reason, group=group, grouped=True, first=number)


@dataclass
class Parsed:
    """The good rows of one chunk, column by column, and what was left out."""

    ids: list[str] = field(default_factory=list)
    messages: list[list[dict]] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    origin: list[str] = field(default_factory=list)
    signed: bytes = b""
    skipped: list[Skipped] = field(default_factory=list)
    unnamed: int = 0  # rows without an id of their own

    def batch(self) -> pa.RecordBatch:
        """The rows as Arrow."""
        ids, groups, origin = (pa.array(one, pa.large_string()) for one in (self.ids, self.groups, self.origin))
        return pa.RecordBatch.from_arrays([ids, turns.column_of(self.messages), groups, origin], schema=SCHEMA)


def parse(chunk: Chunk, plan: Plan) -> tuple[Parsed, Plan]:
    """The rows of a chunk, and the plan as the first good row settled it.

    Raises:
        RowError: a row that cannot be read, without `skip_bad`.
        PoolError: two formats in one file, without `skip_bad`.
    """
    out, signed = Parsed(), []
    for number, record in _numbered(chunk):
        try:
            if isinstance(record, bytes):
                line = record.strip(BLANK)
                if not line:
                    continue
                text = _decoded(line)
                row = _object(text)
            else:
                row, text = _checked(record), ""
            if not plan.grouped:
                settled = plan.settle(row, number)
                turns = converter(settled.format or "")(row)
                plan = settled
            else:
                turns = _convert(row, plan, number)
            stored = _stored(turns)
            group = _group(row, plan.group)
            text = text or _json(row)
        except BadRow as error:
            _refuse(out, plan, number, str(error))
            continue
        own = row.get("id")
        named = (isinstance(own, str) and own != "") or type(own) is int
        out.unnamed += not named
        name = str(own) if named else f"row-{number}"
        out.ids.append(name)
        out.messages.append(stored)
        out.groups.append(group)
        out.origin.append(text)
        signed.append(sign_row((name, stored, group)))
    out.signed = b"".join(signed)
    return out, plan


def _numbered(chunk: Chunk) -> Any:
    return (
        enumerate(chunk.records, start=chunk.first)
        if chunk.records and isinstance(chunk.records[0], bytes)
        else chunk.records
    )


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadRow(f"not valid UTF-8 at byte {error.start + 1} of the line") from error


def _object(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"broken JSON: {error}") from error
    if not isinstance(row, dict):
        raise BadRow(f"not an object but a {type(row).__name__}")
    return row


def _checked(record: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(record, str):
        raise BadRow(record)
    return record


def _convert(row: dict[str, Any], plan: Plan, number: int) -> list[Message]:
    assert plan.format is not None, "the plan is settled before rows are converted"
    convert: Callable = converter(plan.format)
    if plan.forced:
        return convert(row)
    try:
        found, reason = detect(row)
    except BadRow:
        convert(row)  # says what this format misses, which is more to the point
        raise
    if found == plan.format:
        return convert(row)
    mixed = f"line {plan.first} is {plan.format} ({plan.reason}), and line {number} is {found} ({reason})"
    if plan.skip_bad:
        raise BadRow(f"another format: {mixed}")
    raise PoolError(f"{plan.source} mixes formats: {mixed}. Split the file, or say which one with --format.")


def _stored(turns: list[Message]) -> list[dict]:
    stored = [pack(turn) for turn in turns]
    for turn in stored:
        for text in (turn["content"], turn["extra"]):
            if text and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError as error:
                    raise BadRow("not valid UTF-8, or half of a surrogate pair") from error
    return stored


def _group(row: dict[str, Any], column: str | None) -> str | None:
    value = row.get(column) if column is not None else None
    if value is None or value == "":
        return None
    if isinstance(value, (str, int)):
        return str(value)
    raise BadRow(
        f"the group column '{column}' must be text, and is {type(value).__name__}; name another with --group"
    )


def _json(row: dict[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False, default=_plain)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRow("not valid UTF-8, or half of a surrogate pair") from error
    return text


def _plain(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        raise BadRow("a column holds raw bytes, which JSON cannot; leave that column out")
    return str(value)


def _refuse(out: Parsed, plan: Plan, number: int, reason: str) -> None:
    if not plan.skip_bad:
        raise RowError(plan.source, number, reason)
    out.skipped.append(Skipped(number, reason))
