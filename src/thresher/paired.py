"""Every arm of a run against random rows of the same size, seed by seed and test row by test row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from thresher.core.store import write_bytes
from thresher.errors import ResultsError
from thresher.planning.bootstrap import Paired, holm, paired_bootstrap
from thresher.planning.results import higher_is_better

FILE, PLAIN, TRAINED = "paired.json", "random", "trained/*/result.json"
Values = dict[tuple[str, str, str], dict[int, np.ndarray]]  # (method, scorer, budget): seed: (n,)


def leave(out: Path) -> None:
    """paired.json in a run's folder."""
    write_bytes(out / FILE, json.dumps({"panels": panels(out)}, indent=1, ensure_ascii=False).encode())


def panels(out: Path, against: str = PLAIN) -> list[dict[str, Any]]:
    """One for each task, metric and protocol: arms against one of them, their p-values held together (Holm).

    Raises:
        ResultsError: the folder has no finished models.
    """
    measured: dict[tuple[str, str, str], Values] = {}
    for panel, arm, seed, values in _lines(out):
        measured.setdefault(panel, {}).setdefault(arm, {})[seed] = values
    if not any(out.glob(TRAINED)):
        raise ResultsError(f"{out} has no finished model. `thresher run --out {out}` makes them.")
    return [_panel(*panel, arms, against) for panel, arms in measured.items()]


def _panel(task: str, metric: str, protocol: str, arms: Values, against: str) -> dict[str, Any]:
    sign = 1.0 if higher_is_better(metric) else -1.0
    found = []
    for (method, scorer, budget), mine in arms.items():
        other = arms.get((against, "", budget), {})
        seeds = sorted(mine.keys() & other.keys())
        if method == against or not seeds or any(len(mine[s]) != len(other[s]) for s in seeds):
            continue
        one = paired_bootstrap(sign * np.stack([mine[s] - other[s] for s in seeds]))
        found.append((method, scorer, budget, one))
    together = holm([one.p for *_, one in found])
    lines = [
        {"method": method, "scorer": scorer, "budget": budget, **_numbers(one), "p_holm": p, "says": words(one, p)}
        for (method, scorer, budget, one), p in zip(found, together, strict=True)
    ]
    return {"task": task, "metric": metric, "protocol": protocol, "against": against, "lines": lines,
            "higher_is_better": sign > 0}  # fmt: skip


def words(one: Paired, together: float) -> str:
    """The verdict of one comparison among several."""
    if one.se == 0:
        return "the same" if one.mean == 0 else "one number a side"
    side = "better" if one.mean > 0 else "worse"
    if together < 0.05:
        return f"certainly {side}, all comparisons together"
    if one.p < 0.05:
        return f"{side} if it were the only comparison"
    return f"undecided: {one.detectable():.2g} or more could have been seen"


def _numbers(one: Paired) -> dict[str, Any]:
    numbers = {
        "difference": one.mean, "low": one.low, "high": one.high, "se": one.se, "se_seeds": one.se_seeds,
        "se_rows": one.se_rows, "p": one.p, "seeds": one.seeds, "rows": one.rows, "detectable": one.detectable(),
    }  # fmt: skip
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in numbers.items()}


def _lines(out: Path) -> Iterator[tuple[tuple[str, str, str], tuple[str, str, str], int, np.ndarray]]:
    """(task, metric, protocol), arm, seed and test rows' values of every finished model."""
    for path in sorted(out.glob(TRAINED)):
        record = json.loads(path.read_text(encoding="utf-8"))
        for line, values in _scored(record):
            panel = (line["task"], line["metric"], line.get("protocol", ""))
            yield panel, (line["method"], line["scorer"], line.get("budget", "")), line["seed"], values


def _scored(record: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """A line of results with its rows' values; without such values, or where their mean is not the score, left out.

    Raises:
        ResultsError: values that do not belong to the scores.
    """
    scores = [one for receipt in record["receipts"] for one in receipt.get("scores", (receipt,)) if "values" in one]
    if scores and len(scores) != len(record["results"]):
        raise ResultsError(f"{record['results'][0].get('job', 'a model')}: its scores and its test rows do not fit.")
    for line, one in zip(record["results"] if scores else [], scores, strict=True):
        values = np.array(one["values"], np.float64)
        if line.get("seed") is not None and len(values) > 1 and np.isclose(values.mean(), line["score"], rtol=1e-6):
            yield line, values
