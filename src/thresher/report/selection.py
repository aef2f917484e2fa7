"""What the page of a selection says: numbers read from its card, scores.parquet and selected.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from thresher.errors import StoreError
from thresher.report import bars, comparison, tables

_SHOWN, _LEFT, _CUT = 50, 20, 600
_OURS = {"row", "id", "group", "label", "tokens", "rank", "gain", "chosen", "reason"}
_TOP_GROUPS = 24


def selection_context(folder: Path, card: Mapping, beside: Sequence[Path] = ()) -> dict:
    """Everything the template needs."""
    scores = _scores(folder / "scores.parquet")
    chosen = np.asarray(scores["chosen"].to_pylist(), dtype=bool)  # (n,)
    signals = [name for name in scores.column_names if name not in _OURS and _numeric(scores[name].type)]
    receipts = card.get("receipts") or card.get("stages") or []
    inner = card.get("cost")
    if not receipts and isinstance(inner, Mapping):
        receipts = inner.get("stages") or inner.get("receipts") or []
    name = card.get("method")
    name = name.get("name") if isinstance(name, Mapping) else name
    mix = _mix(scores, chosen)
    rows = f"{tables.count(int(chosen.sum()))} of {tables.count(len(chosen))} rows"
    return {
        "kind": "selection",
        "title": f"{name or folder.resolve().name}: {rows}",
        "subtitle": _subtitle(scores, chosen),
        "budget": _budget(card),
        "mix": Markup(bars.group_mix(*mix)) if mix else None,
        "lengths": _histogram(scores, "tokens", chosen, "tokens per row"),
        "histograms": [(name, _histogram(scores, name, chosen, name)) for name in signals],
        "chosen": _chosen(folder / "selected.jsonl", scores, chosen),
        "nearest_head": comparison.NEAREST_HEAD,
        "nearest": comparison.nearest(folder),
        "overlap_head": comparison.OVERLAP_HEAD,
        "overlap": comparison.overlap(folder, beside),
        "left_head": ["row", "id", "group", "tokens", *signals, "reason"],
        "left": _left(scores, chosen, signals),
        "facts": tables.facts(card, leave_out=("receipts", "stages", "budget")),
        "receipt_head": tables.RECEIPT_HEAD,
        "receipts": [("this selection", tables.receipt_rows(receipts))] if receipts else [],
    }


def _scores(path: Path) -> pa.Table:
    try:
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as problem:
        raise StoreError(
            f"{path} cannot be read: {problem}. A selection's folder holds it beside card.json."
        ) from problem
    missing = sorted({"row", "tokens", "chosen", "rank"} - set(table.column_names))
    if missing:
        raise StoreError(f"{path} lacks {', '.join(missing)}; it has {', '.join(table.column_names)}.")
    return table


def _numeric(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _subtitle(scores: pa.Table, chosen: np.ndarray) -> str:
    tokens = np.asarray(scores["tokens"].to_numpy(), dtype=np.float64)
    share = f"{tables.percent(float(chosen.mean()))} of the rows"
    if np.isnan(tokens).all():  # nobody named the model whose tokens these would be
        return share
    counts = (tables.count(float(np.nansum(part))) for part in (tokens[chosen], tokens))
    return f"{' of '.join(counts)} tokens · {share}"


def _budget(card: Mapping) -> list[tuple[str, str]]:
    given = card.get("budget")
    return tables.facts(given) if isinstance(given, Mapping) else tables.facts({"asked": given})


def _mix(scores: pa.Table, chosen: np.ndarray) -> tuple[list[str], list[float], list[float]] | None:
    """Share of every group among pool and subset rows, largest first; None without groups."""
    if "group" not in scores.column_names:
        return None
    names, index = np.unique([str(group or "") for group in scores["group"].to_pylist()], return_inverse=True)
    if len(names) < 2:
        return None
    whole = np.bincount(index, minlength=len(names)) / len(index)
    part = np.bincount(index[chosen], minlength=len(names)) / max(int(chosen.sum()), 1)
    order = np.argsort(-np.maximum(whole, part), kind="stable")
    top, rest = order[:_TOP_GROUPS], order[_TOP_GROUPS:]
    shown = [str(names[i]) or "(no group)" for i in top]
    more = (
        ([f"{len(rest)} others"], [float(whole[rest].sum())], [float(part[rest].sum())])
        if len(rest)
        else ([], [], [])
    )
    return shown + more[0], whole[top].tolist() + more[1], part[top].tolist() + more[2]


def _histogram(scores: pa.Table, name: str, chosen: np.ndarray, title: str) -> Markup | None:
    values = np.asarray(scores[name].to_numpy(), dtype=np.float64)  # (n,) NaN where the row has no value
    known = np.isfinite(values)
    if not known.any():
        return None
    low, high = np.quantile(values[known], [0.0, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, 41)
    shares = []
    for side in (known, known & chosen):
        counts, _ = np.histogram(np.clip(values[side], edges[0], edges[-1]), edges)
        shares.append((counts / max(int(side.sum()), 1)).tolist())
    note = title if values[known].max() <= edges[-1] else f"{title} (the last bin holds the highest 0.5 %)"
    return Markup(bars.histogram(edges.tolist(), *shares, note))


def _chosen(path: Path, scores: pa.Table, chosen: np.ndarray) -> list[tuple[str, str, str, str, str]]:
    """The first rows in the order they were chosen: (rank, id, group, text, reason)."""
    index = np.flatnonzero(chosen)
    rank = np.asarray(scores["rank"].to_numpy(), dtype=np.float64)[index]
    first = index[np.argsort(rank, kind="stable")][:_SHOWN]
    records = scores.take(pa.array(first)).to_pylist()
    lines = _first_lines(path, len(first))
    return [
        (
            str(place),
            str(record.get("id", "")),
            str(record.get("group") or ""),
            _words(text),
            str(record.get("reason") or ""),
        )
        for place, (record, text) in enumerate(zip(records, lines, strict=False), 1)
    ]


def _first_lines(path: Path, wanted: int) -> list[Mapping]:
    if not path.is_file():
        return [{}] * wanted
    found = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if len(found) == wanted:
                break
            try:
                found.append(json.loads(line))
            except ValueError as problem:
                raise StoreError(f"{path} line {len(found) + 1} is not JSON: {problem}.") from problem
    return found


def _words(row: object, depth: int = 0) -> str:
    """The user's own columns as short text."""
    if isinstance(row, Mapping):
        text = "\n".join(
            f"{key}: {_words(value, depth + 1)}" for key, value in row.items() if value not in (None, "", [])
        )
    elif isinstance(row, list):
        text = "\n".join(_words(item, depth + 1) for item in row)
    else:
        text = str(row)
    return text if depth or len(text) <= _CUT else text[:_CUT] + " …"


def _left(scores: pa.Table, chosen: np.ndarray, signals: Sequence[str]) -> list[list[str]]:
    """Rows drawn from those not chosen, by a fixed seed."""
    outside = np.flatnonzero(~chosen)
    drawn = np.sort(np.random.default_rng(0).permutation(outside)[:_LEFT])
    names = ["row", "id", "group", "tokens", *signals, "reason"]
    rows = scores.take(pa.array(drawn)).to_pylist()
    return [[_value(row.get(name)) for name in names] for row in rows]


def _value(value: object) -> str:
    if value is None:
        return tables.NOTHING
    return tables.number(value) if isinstance(value, float) else str(value)
