"""What rows say, read from Arrow as it lies: no dictionary is made for each turn of each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int

ANSWERS = ("assistant", "text")  # roles whose words are an answer
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.large_string()), ("extra", pa.large_string())])
MESSAGES = pa.large_list(MESSAGE)


def column_of(rows: Sequence[Sequence[dict[str, Any]]]) -> pa.LargeListArray:
    """(b,) rows of packed messages as they are stored; four times as fast as Arrow's own way through dictionaries."""
    turns = [turn for row in rows for turn in row]
    columns = [pa.array([turn[field.name] for turn in turns], field.type) for field in MESSAGE]
    ends = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return pa.LargeListArray.from_arrays(pa.array(ends), pa.StructArray.from_arrays(columns, fields=list(MESSAGE)))


def prompts(messages: pa.LargeListArray) -> list[str]:
    """(b,) everything before the last answer, one turn a line."""
    words, start, last = _told(messages)
    return ["\n".join(words[a:b]) for a, b in zip(start.tolist(), last.tolist(), strict=True)]


def answers(messages: pa.LargeListArray) -> list[str]:
    """(b,) the last answer; the last turn where there is none."""
    flat, _, last = _last(messages)
    return flat.field("content").take(pa.array(last)).to_numpy(zero_copy_only=False).tolist()


def texts(messages: pa.LargeListArray) -> list[str]:
    """(b,) prompt, a newline, answer; what is empty leaves no line."""
    words, start, last = _told(messages)
    said = (("\n".join(words[a:b]), words[b]) for a, b in zip(start.tolist(), last.tolist(), strict=True))
    return [f"{prompt}\n{answer}" if prompt and answer else prompt or answer for prompt, answer in said]


def surely_answered(messages: pa.LargeListArray) -> Bool[np.ndarray, " b"]:
    """(b,) rows with an answer that holds a letter or a number; of the others nothing is said."""
    flat = messages.flatten()
    held = pc.match_substring_regex(flat.field("content"), r"[\p{L}\p{N}]").to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(held & _is_answer(flat))])
    return np.diff(before[_edges(messages)]) > 0


def _told(messages: pa.LargeListArray) -> tuple[list[str], Int[np.ndarray, " b"], Int[np.ndarray, " b"]]:
    flat, start, last = _last(messages)
    return flat.field("content").to_numpy(zero_copy_only=False).tolist(), start, last


def _last(messages: pa.LargeListArray) -> tuple[pa.StructArray, Int[np.ndarray, " b"], Int[np.ndarray, " b"]]:
    """(all turns, where each row's begin, the turn of each row's last answer)."""
    flat, edges = messages.flatten(), _edges(messages)
    assert (np.diff(edges) > 0).all(), "a row has at least one turn: readers see to it"
    latest = np.maximum.accumulate(np.where(_is_answer(flat), np.arange(len(flat)), -1))
    end = edges[1:] - 1
    found = latest[end]
    return flat, edges[:-1], np.where(found >= edges[:-1], found, end)


def _edges(messages: pa.LargeListArray) -> Int[np.ndarray, " edges"]:
    offsets = messages.offsets.to_numpy()
    return offsets - offsets[0]


def _is_answer(flat: pa.StructArray) -> Bool[np.ndarray, " turns"]:
    return pc.is_in(flat.field("role"), value_set=pa.array(ANSWERS)).to_numpy(zero_copy_only=False)
