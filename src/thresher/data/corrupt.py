"""Pools made worse on purpose: a known share of wrong answers, or groups of very unequal size."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from thresher.core.pool import SCHEMA, Pool, answer_of, fingerprint_of, pack
from thresher.errors import PoolError

Wrong = Literal["another's", "shuffled"]


def with_wrong_answers(
    pool: Pool, share: float, *, seed: int = 0, wrong: Wrong = "another's"
) -> tuple[Pool, Bool[np.ndarray, " n"]]:
    """The pool in memory with a drawn share of its last answers wrong, and which rows they are.

    Args:
        pool: stays as it is. Columns of the result: `id`, `messages`, `source` (the group) and `planted`.
        share: of the rows, 0 to 1.
        seed: of the rows drawn and of what is put there.
        wrong: "another's" is the answer of a drawn row that says something else, "shuffled" its own words in
            another order. Rows whose answer cannot be made another are not drawn.

    Raises:
        PoolError: a share that is none, or too few rows whose answer can be made another.
    """
    if not 0 <= share <= 1:
        raise PoolError(f"a share of wrong answers lies between 0 and 1, not at {share}.")
    rng = np.random.default_rng([seed, 0x4E0])
    answer, rows = pool.answer(), list(pool.messages())
    noisy = np.zeros(len(pool), dtype=bool)
    wanted = round(share * len(pool))
    many = len(set(answer)) > 1
    for i in rng.permutation(len(pool)).tolist():
        if int(noisy.sum()) == wanted:
            break
        if many if wrong == "another's" else len(set(answer[i].split())) > 1:
            rows[i] = _answered(rows[i], _other(i, answer, rng, wrong))
            noisy[i] = True
    if noisy.sum() < wanted:
        raise PoolError(f"{pool.name}: only {noisy.sum()} of {wanted} answers could be made others ({wrong}).")
    planted = np.where(noisy, "wrong answer", "as it was").tolist()
    return _rebuilt(pool, rows, planted, f"{pool.name} with {noisy.sum()} wrong answers"), noisy


def _other(i: int, answer: list[str], rng: np.random.Generator, wrong: Wrong) -> str:
    """Something else than the row's own answer; the caller has seen that there is one."""
    words = answer[i].split()
    while True:
        if wrong == "shuffled":
            found = " ".join(words[j] for j in rng.permutation(len(words)))
            same = found.split() == words
        else:
            found = answer[int(rng.integers(len(answer)))]
            same = found == answer[i]
        if not same:
            return found


def _answered(messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The same turns with another last answer."""
    last = max((j for j, m in enumerate(messages) if m["role"] in ("assistant", "text")), default=len(messages) - 1)
    assert answer_of(messages) == messages[last]["content"]
    return [*messages[:last], {**messages[last], "content": text}, *messages[last + 1 :]]


def with_skew(pool: Pool, ratio: int = 100, *, groups: int | None = None, seed: int = 0) -> Pool:
    """Rows of the pool, drawn so that group sizes fall geometrically and the largest is `ratio` times the smallest.

    Args:
        pool: with groups. Larger groups stay larger.
        ratio: largest over smallest, exactly.
        groups: only so many of the largest groups are kept; every one if not given.
        seed: of the rows drawn.

    Raises:
        PoolError: fewer than two groups, or groups too small for the ratio.
    """
    names, index = pool.group_names, pool.group_index()
    size = np.bincount(index[index >= 0], minlength=len(names))
    order = np.argsort(-size, kind="stable")[:groups]
    if len(order) < 2:
        raise PoolError(f"{pool.name}: a skew needs two groups or more, and there are {len(order)}.")
    want = _falling(size[order], ratio)
    if want is None:
        raise PoolError(
            f"{pool.name}: groups of {', '.join(map(str, size[order]))} rows cannot fall from {ratio} to 1. Give more "
            "rows, a smaller ratio, or fewer groups."
        )
    rng = np.random.default_rng([seed, 0x5E3])
    kept = [rng.choice(np.flatnonzero(index == g), m, replace=False) for g, m in zip(order, want, strict=True)]
    return pool.take(np.sort(np.concatenate(kept)))


def _falling(size: Int[np.ndarray, " g"], ratio: int) -> Int[np.ndarray, " g"] | None:
    """The largest sizes that fall geometrically from ratio to 1 and are there; None where there are none."""
    fall = float(ratio) ** (1 - np.arange(len(size)) / (len(size) - 1))
    smallest = int((size / fall).min())
    while smallest and (np.round(smallest * fall) > size).any():
        smallest -= 1
    return np.round(smallest * fall).astype(np.int64) if smallest else None


def _rebuilt(pool: Pool, rows: list[list[dict[str, Any]]], planted: list[str], name: str) -> Pool:
    """A pool in memory of these rows, with the groups and ids of the other."""
    groups, ids = pool.table["group"].to_pylist(), pool.ids()
    origin = [
        {"id": i, "messages": row, "planted": kind} | ({} if group is None else {"source": group})
        for i, row, kind, group in zip(ids, rows, planted, groups, strict=True)
    ]
    turns = pa.array([[pack(message) for message in row] for row in rows], SCHEMA.field("messages").type)
    lines = pa.array([json.dumps(one, ensure_ascii=False) for one in origin], SCHEMA.field("origin").type)
    table = pa.table([pool.table["id"], turns, pool.table["group"], lines], schema=SCHEMA)
    return Pool(table, fingerprint_of(table), name=name)
