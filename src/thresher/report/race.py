"""A race: its rounds and its bill; and what a race would have saved of a grid that was run in full."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thresher.report import charts, tables
from thresher.report.section import Heading, Picture, Section, Table, Words, read_json

Of = Mapping[str, Any]
PARTS = {"the winner": "#2a9d72", "the others": "#e0913a", "not spent of the full grid": "rgba(128,136,150,0.35)"}


def race(folder: Path) -> list[Section]:
    """The race that this run was, or the races it could have been."""
    told = read_json(folder / "race.json")
    return [_told(told)] if told else _replayed(folder)


def _told(told: Of) -> Section:
    bill = told["bill"]
    names = ["this race", "the full grid"]
    parts = {
        "the winner": [bill["winner"], 0.0],
        "the others": [bill["race"], 0.0],
        "not spent of the full grid": [0.0, bill["grid"]],
    }
    rows = []
    for number, one in enumerate(told["rounds"], start=1):
        what = f"size {one['size']}" if one["kind"] == "climb" else f"seed {one['seed']}"
        for run in sorted(one["ran"], key=lambda run: run["score"], reverse=told["higher_is_better"]):
            full = f"{run['contender']} at {run['size']}"
            why = one["stopped"].get(run["contender"], one["stopped"].get(full, ""))
            rows.append([str(number), what, full, tables.number(run["score"]), tables.flops(run["selection_flops"]),
                         tables.flops(run["training_flops"]), f"stopped: {why}" if why else "went on"])  # fmt: skip
    if rows:
        last = len(told["rounds"])
        rows = [[*row[:-1], row[-1] if row[0] != str(last) or row[-1] != "went on" else ""] for row in rows]
    words = [
        f"{told['asked']} for the whole race; {', '.join(told['by'])} decided, and the winner's score there is "
        "flattered by being the best of several: judge it on other rows. Choosing is charged once per contender, and "
        "the losers are charged in full.",
        *(f"{name} did not start: {why}." for name, why in told["left_out"].items()),
    ]
    head = ("round", "what", "arm", "score", "choosing", "training", "then")
    return Section(
        "The race",
        [Picture(charts.stacked(names, parts, PARTS, x="FLOPs")), *map(Words, words), Table(head, rows)],
    )


def _replayed(folder: Path) -> list[Section]:
    panels = [panel for panel in (read_json(folder / "frontier.json") or {}).get("panels", ()) if panel.get("race")]
    blocks: list[Any] = []
    for panel in panels:
        if len(panels) > 1:
            blocks.append(Heading(" · ".join(str(panel[k]) for k in ("task", "metric", "model") if panel[k])))
        head = (
            "budget", "of the grid", "spent", "runs", "winner", "score", "best it could have bought", "regret",
            "of random",
        )  # fmt: skip
        blocks.append(Table(head, [_line(one) for one in panel["race"]]))
    if not blocks:
        return []
    words = (
        "What a race (thresher run --race) would have done with these runs: contenders climb from size to size, the "
        "losing half is stopped, then the best get more seeds. Regret is how far its winner, over all seeds, is "
        "behind the best arm that the same money could have bought in one use; of random, how far random rows for all "
        "of it are."
    )
    return [Section("What a race would have saved", [Words(words), *blocks])]


def _line(one: Of) -> list[str]:
    start = [tables.flops(one["budget"]), tables.percent(one["share"])]
    if "problem" in one:
        return [*start, tables.NOTHING, "0", "below the first round's price", *[tables.NOTHING] * 4]
    return [
        *start, tables.percent(one["spent"] / one["grid"]), f"{one['runs']} of {one['of_runs']}", one["winner"],
        tables.number(one["score"]), f"{one['best']}: {tables.number(one['best_score'])}",
        tables.number(one["regret"], 3), tables.number(one["random"], 3),
    ]  # fmt: skip
