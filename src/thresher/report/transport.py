"""A choice by optimal transport: sources, scores, passes, and where mixtures with it go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from thresher.report import charts, tables
from thresher.report.charts import Line, Panel
from thresher.report.figures import PALETTE
from thresher.report.section import Heading, Picture, Section, Table, Words, read_json
from thresher.report.source_scores import boxes

BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
MOST = 12  # sources or methods in one picture


def transport(folder: Path) -> list[Section]:
    """Sections of a selection made with `got_d`, or that compared sources first."""
    card = read_json(folder / "card.json") or {}
    found = [_domains(card["domains"])] if card.get("domains") else []
    account = (card.get("accounts") or {}).get("got_d")
    if account is not None:
        found.append(_solved(folder, card, account))
        said = read_json(folder / "diagnostics" / "transport.json")
        if said is not None:
            found.append(_inspected(said))
    return found


def _domains(said: dict[str, Any]) -> Section:
    """Bars of relevance, and the numbers."""
    lines = said["sources"]
    rows = [
        [
            line["source"], tables.number(line["cost"]), tables.count(line["sampled"]), tables.count(line["rows"]),
            tables.count(line["sweeps"]), "yes" if line["converged"] else "no",
            tables.count(line["candidates"]) if line["kept"] else "left out",
        ]
        for line in lines
    ]  # fmt: skip
    farthest = max(line["cost"] for line in lines)
    closeness = [farthest - line["cost"] for line in lines]
    parts = {
        "kept": [c if line["kept"] else 0 for c, line in zip(closeness, lines, strict=True)],
        "left out": [0 if line["kept"] else c for c, line in zip(closeness, lines, strict=True)],
    }
    names = [f"{line['source']}  {tables.number(line['cost'])}" for line in lines]
    return Section("Which sources lie closest to the target", [
        Words(
            f"Transport cost of a sample of each source to the target, in {said['feature']}; lower is closer. Rows of "
            "the sources kept are the only candidates, and stand for what the model was pre-trained on."
        ),
        Picture(charts.stacked(names, parts, {"kept": PALETTE[0], "left out": charts.POOL},
                               x="how much lower than the farthest source's cost")),
        Table(("source", "cost", "sampled", "rows", "passes", "converged", "candidates"), rows),
    ])  # fmt: skip


def _solved(folder: Path, card: dict[str, Any], account: dict[str, Any]) -> Section:
    trace = account["trace"]
    passes = Panel("", [Line(list(range(1, len(trace) + 1)), trace, "error", PALETTE[0])],
                   across={"tolerance": account["tolerance"]})  # fmt: skip
    blocks: list[Any] = [
        Words(
            f"Epsilon {tables.number(account['epsilon'])} at a mean cost of {tables.number(account['mean_cost'])}; "
            f"regularised cost {tables.number(account['distance'])}. After {account['sweeps']} passes the target's "
            f"masses were off by {tables.number(account['marginal_error'])}"
            + (", within the tolerance." if account["converged"] else ": the tolerance was NOT met.")
        ),
        Picture(charts.panels([passes], x="pass", y="error of the target's masses", height=260)),
    ]
    table = pq.read_table(folder / "scores.parquet")
    if "got_d" in table.column_names:
        score = table["got_d"].to_numpy(zero_copy_only=False).astype(float)
        group = np.array([name or "(none)" for name in table["group"].to_pylist()], dtype=object)
        blocks += [
            Heading("Scores by source"),
            Words("A row's slope of the cost: below zero, more of it brings the pool closer to the target."),
            Picture(boxes(score, group, most=MOST)),
            *_mix(table, score, group, highest=bool((card["selector"].get("fields") or {}).get("highest"))),
        ]
    return Section("Optimal transport to the target", blocks)


def _mix(table: Any, score: np.ndarray, group: np.ndarray, *, highest: bool) -> list[Any]:  # noqa: ANN401
    """Share of each source among the best rows at several budgets, from the pool to the choice."""
    known = np.isfinite(score)
    order = np.flatnonzero(known)[np.argsort(-score[known] if highest else score[known], kind="stable")]
    names = _largest(group[known])
    folded = np.where(np.isin(group, names), group, "others")
    shown = [*names, *(["others"] if len(set(group[known])) > len(names) else [])]
    chosen = int(np.count_nonzero(table["chosen"].to_numpy(zero_copy_only=False)))
    sizes = sorted({max(1, round(share * len(order))) for share in BUDGETS} | {chosen})
    parts = {name: [float((folded[order[:k]] == name).mean()) for k in sizes] for name in shown}
    colour = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(shown)} | {"others": charts.POOL}
    rows = [f"{tables.count(k)} rows" + (" (as chosen)" if k == chosen else "") for k in sizes]
    return [Heading("Sources by budget"), Picture(charts.stacked(rows, parts, colour, x="share of the best rows"))]


def _largest(group: np.ndarray) -> list[str]:
    names, counts = np.unique(group.astype(str), return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")][: MOST - 1]]


def _inspected(said: dict[str, Any]) -> Section:
    mixture = said["mixture"]
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate([*mixture["methods"], *mixture["saw_both"]])}
    colours |= {"random": charts.POOL}
    curves = [
        Line(mixture["lambda"], values, name, colours[name], dash=dash)
        for side, dash in (("methods", "solid"), ("saw_both", "dot"))
        for name, values in mixture[side].items()
    ]
    tried = sorted(said["epsilon"], key=lambda line: float(line["factor"]))
    factors = [f"{line['factor']:g} x" for line in tried]
    epsilon = [
        [name, tables.percent(line["overlap"]), tables.number(line["spearman"]), tables.count(line["sweeps"]),
         "yes" if line["converged"] else "no"]
        for name, line in zip(factors, tried, strict=True)
    ]  # fmt: skip
    agreeing = [
        Line(factors, [line[key] for line in tried], name, PALETTE[i])
        for i, (key, name) in enumerate((("overlap", "best rows that stay"), ("spearman", "correlation of ranks")))
    ]
    covered = dict(sorted(said["coverage"].items(), key=lambda item: -item[1]))
    served = [f"{name}  {tables.percent(value)}" for name, value in covered.items()]
    return Section("Transport, inspected", [
        Heading("Where mixtures go"),
        Words(
            "Training moves the model's data to lambda U + (1 - lambda) pool. Its transport cost to the held-out half "
            f"of the target ({mixture['held_out']} rows), over that of the pool alone: below 1 is closer. Solid lines "
            "chose by the other half; dotted ones are selections beside this one, which saw both. One ranking is best "
            "for light training only: it has no term for diversity."
        ),
        Picture(charts.panels([Panel("", curves, across={"pool": 1.0})], x="lambda", y="cost / pool's", height=380)),
        Heading("Does epsilon matter"),
        Words("Solved again at half and at twice the epsilon, against the order as it was chosen by; 1 is no change."),
        Picture(charts.panels([Panel("", agreeing, y_range=(0, 1.05))], x="epsilon", y="agreement", category=True,
                              height=260)),
        Table(("epsilon", "best rows that stay", "correlation of ranks", "passes", "converged"), epsilon),
        Heading("Target rows served"),
        Words("Share of the target's rows with a chosen row among the hundredth of the pool that is nearest to them."),
        Picture(charts.stacked(served, {"served": list(covered.values())}, {"served": PALETTE[0]},
                               x="share of the target's rows")),
    ])  # fmt: skip
