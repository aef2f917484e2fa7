"""What is in a pool, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Int

from thresher.core.pool import Pool
from thresher.data.duplicates import Overlap, Repeats, repeats, rows_also_in

if TYPE_CHECKING:
    from thresher.data.chat import Counted, Encoded

__all__ = ["check", "rows_also_in"]
SHOWN = 20  # examples of each finding
BLOCK = 4096  # rows looked at at a time


def check(pool: Pool, target: Pool | None = None, encoded: Encoded | Counted | None = None) -> dict[str, Any]:
    """The findings of `thresher check`, under the keys scripts rely on.

    Args:
        pool: the rows.
        target: rows that should not stand in the pool.
        encoded: the pool's tokens under a model's tokenizer; without it tokens are not counted.
    """
    untrainable = _untrainable(pool, encoded)
    same = repeats(pool)
    shared = rows_also_in(pool, target, near=True) if target is not None else None
    return {
        "rows": len(pool),
        "format": pool.format,
        "tokens": int(encoded.lengths().sum()) if encoded is not None else None,
        "groups": _groups(pool),
        "untrainable": untrainable,
        "duplicates": {"exact": len(same.exact), "near": len(same.near), "examples": _examples(pool, same)},
        "target_in_pool": _shared(pool, shared),
        "skipped": [{"line": row.line, "reason": row.reason} for row in pool.skipped],
        "notes": list(pool.notes),
        "problems": _problems(pool, encoded, untrainable, same, shared),
    }


def _untrainable(pool: Pool, encoded: Encoded | Counted | None) -> list[str]:
    """Ids of the rows that leave nothing to train on."""
    if encoded is not None:
        rows = np.flatnonzero(encoded.answer_tokens() == 0)
    else:
        silent = [part * BLOCK + _silent(rows) for part, rows in pool.parts(BLOCK)]
        rows = np.concatenate(silent) if silent else np.zeros(0, np.int64)
    ids = pool.table["id"]
    return [ids[int(i)].as_py() for i in rows]


def _silent(pool: Pool) -> Int[np.ndarray, " m"]:
    """Rows without an answer, or with an empty one; only those without a letter are looked at turn by turn."""
    unsure = np.flatnonzero(~pool.answered())
    says = [any(map(_says, turns)) for turns in pool.take(unsure).messages()] if len(unsure) else []
    return unsure[~np.array(says, dtype=bool)]


def _says(turn: dict) -> bool:
    return turn["role"] in ("assistant", "text") and bool(turn["content"].strip() or turn.get("tool_calls"))


def _groups(pool: Pool) -> dict[str, int]:
    counted = pc.value_counts(pool.table["group"].drop_null())
    return dict(sorted((value["values"].as_py(), value["counts"].as_py()) for value in counted))


def _examples(pool: Pool, same: Repeats) -> list[dict[str, str]]:
    ids = pool.table["id"]
    return [
        {"kind": kind, "row": ids[row].as_py(), "of": ids[earlier].as_py()}
        for kind, pairs in (("exact", same.exact), ("near", same.near))
        for row, earlier in pairs[:SHOWN]
    ]


def _shared(pool: Pool, shared: Overlap | None) -> dict[str, Any]:
    if shared is None:
        return {"exact": 0, "near": 0, "rows": []}
    ids = pool.table["id"]
    rows = [*shared.pool_exact, *shared.pool_near]
    return {
        "exact": len(shared.target_exact),
        "near": len(shared.target_near),
        "rows": [ids[int(i)].as_py() for i in rows],
    }


def _problems(
    pool: Pool, encoded: Encoded | Counted | None, untrainable: list[str], same: Repeats, shared: Overlap | None
) -> list[str]:
    """One sentence for each finding."""
    found = []
    if pool.skipped:
        first = pool.skipped[0]
        found.append(f"{len(pool.skipped)} rows were left out; line {first.line}: {first.reason}")
    if untrainable:
        found.append(f"{len(untrainable)} rows have no token to train on, first {', '.join(untrainable[:5])}")
    if encoded is not None and (encoded.cut > 0).any():
        rows, tokens = int((encoded.cut > 0).sum()), int(encoded.cut.sum())
        found.append(f"{rows} rows are too long and lose {tokens} tokens on the right")
    if same.exact:
        found.append(f"{len(same.exact)} rows repeat an earlier row exactly")
    if same.near:
        found.append(f"{len(same.near)} rows are near copies of an earlier row")
    if shared is not None and len(shared.target_exact):
        found.append(f"{len(shared.target_exact)} target rows stand in the pool as well")
    if shared is not None and len(shared.target_near):
        found.append(f"{len(shared.target_near)} target rows have a near copy in the pool")
    return found
