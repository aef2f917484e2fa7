"""Where the compute went and what it bought: equal rows beside equal compute, shares, break-even, regret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.report import charts, tables
from thresher.report.charts import Line, Panel
from thresher.report.figures import colours
from thresher.report.section import Heading, Picture, Section, Table, Words, read_json

Block = Heading | Words | Picture | Table
Of = Mapping[str, Any]
USES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MOST_LINES = 10
DASHES = ("solid", "dot", "dash", "longdash", "dashdot")


def spending(folder: Path) -> list[Section]:
    """What frontier.json says of compute, besides the frontier itself."""
    panels = (read_json(folder / "frontier.json") or {}).get("panels", ())
    colour = colours([arm["method"] for panel in panels for arm in panel["arms"]])
    parts = (
        ("At equal rows, and at equal compute", equal, _EQUAL),
        ("Share of compute spent on choosing", choosing, _CHOOSING),
        ("One choosing, many uses", uses, _USES),
        ("Regret of always taking one method", regret, _REGRET),
    )
    sections = []
    for title, part, words in parts:
        blocks = _of_every_panel(panels, part, colour, once=part is choosing)
        if blocks:
            sections.append(Section(title, [Words(words), *blocks]))
    return sections


_EQUAL = (
    "Left, every method with as many rows: choosing is free. Right, each with as much compute as the dearest of them "
    "took at that size, choosing included; between two sizes a method's score is interpolated, beyond its largest it "
    "stays. Where lines cross, the ranking flips. Means over seeds: neighbours may change places by chance."
)
_CHOOSING = "Selection over selection and training, of one job that shares its selection with nobody."
_USES = (
    "Cost of one use, if N uses share one selection, over what the best cheap method (choosing under 1 % of its "
    "training) spends to score as much. Below 1 choosing pays."
)
_REGRET = (
    "At ten budgets from the cheapest run to the dearest: how far a method's largest affordable run is behind the best "
    "run that the budget pays for, in points of the metric, and over the regret of always taking random rows."
)


def _of_every_panel(panels: Sequence[Of], part: Any, colour: Mapping[str, str], *, once: bool) -> list[Block]:  # noqa: ANN401
    """A heading and the part's blocks for every panel that has some; the same costs are shown once."""
    found: list[Block] = []
    seen: list[object] = []
    for panel in panels:
        costs = [(arm["method"], arm["selection_flops"], arm["training_flops"]) for arm in panel["arms"]]
        if once and costs in seen:
            continue
        seen.append(costs)
        blocks = part(panel, colour)
        if blocks:
            found += [*([Heading(_named(panel))] if len(panels) > 1 else []), *blocks]
    return found


def _named(panel: Of) -> str:
    head = (panel["task"], panel["metric"], panel["model"], panel.get("pool", ""), panel.get("protocol", ""))
    return " · ".join(str(part) for part in head if part)


def equal(panel: Of, colour: Mapping[str, str]) -> list[Block]:
    """Scores at equal rows joined to scores at equal compute, a panel a size; the flips in words."""
    views = [view for view in panel.get("equal", ()) if len(view["lines"]) > 1]
    if not views:
        return []
    drawn = [
        Panel(
            view["size"],
            [
                Line(
                    ["equal rows", "equal compute"], [line["score"], line["score_at_compute"]], tables.label(line),
                    colour[line["method"]],
                )
                for line in view["lines"]
            ],
        )
        for view in views
    ]  # fmt: skip
    picture = charts.panels(
        drawn, y=panel["metric"] or "score", category=True, columns=min(3, len(drawn)), height=320, shared=False
    )
    rows = [
        [view["size"], tables.label(line), f"{line['rank']}", tables.number(line["score"]),
         f"{line['rank_at_compute']}", tables.number(line["score_at_compute"]), tables.flops(line["total_flops"]),
         tables.flops(view["compute"])]
        for view in views for line in view["lines"]
    ]  # fmt: skip
    head = (
        "size", "method", "rank, equal rows", "score", "rank, equal compute", "score", "its own FLOPs",
        "FLOPs compared at",
    )  # fmt: skip
    return [Picture(picture), Words(_flips(panel, views)), Table(head, rows, folded="Every rank and score")]


def _flips(panel: Of, views: Sequence[Of]) -> str:
    """Where another method leads once choosing is paid for, and how many pairs change places."""
    leaders = []
    for view in views:
        first = [_short(panel, line) for line in view["lines"] if line["rank"] == 1]
        then = [_short(panel, line) for line in view["lines"] if line["rank_at_compute"] == 1]
        if not set(first) & set(then):
            leaders.append(f"at {view['size']} {' and '.join(first)} gives way to {' and '.join(then)}")
    pairs = sum(len(view["lines"]) * (len(view["lines"]) - 1) // 2 for view in views)
    flips = sum(len(view["flips"]) for view in views)
    lead = f"From equal rows to equal compute, {'; '.join(leaders)}" if leaders else "The lead stays where it is"
    return f"{lead}; {flips} of {pairs} pairs of methods change places."


def _short(panel: Of, arm: Of) -> str:
    """The method alone, unless several scorers read the pool for it."""
    scorers = {one["scorer"] for one in panel["arms"] if one["method"] == arm["method"]}
    return str(arm["method"]) if len(scorers) == 1 else tables.label(arm)


def choosing(panel: Of, colour: Mapping[str, str]) -> list[Block]:
    """Share of the compute that choosing took, a bar for each arm that paid for it."""
    arms = [arm for arm in panel["arms"] if arm["selection_flops"] > 0 and (arm["fraction"] or 0.0) < 1]
    if not arms:
        return []
    names = [f"{tables.label(arm)}  {tables.size(arm)}" for arm in arms]
    values = {"choosing": [100 * arm["selection_flops"] / arm["total_flops"] for arm in arms]}
    values["training"] = [100 - share for share in values["choosing"]]
    picture = charts.stacked(names, values, {"choosing": "#e0913a", "training": "#5a86c4"}, x="% of its compute")
    free = dict.fromkeys(
        tables.label(arm) for arm in panel["arms"] if not arm["selection_flops"] and arm["training_flops"] > 0
    )
    words = f"Nothing on the bill for choosing: {', '.join(free)}." if free else ""
    return [Picture(picture), *([Words(words)] if words else [])]


def uses(panel: Of, colour: Mapping[str, str]) -> list[Block]:
    """Cost of one use against the cheap way to the same score, over how many uses share the selection."""
    full = panel.get("full_flops")
    drawn: list[Line] = []
    never: dict[str, list[str]] = {}
    at_once: dict[str, list[str]] = {}
    beyond: dict[str, list[str]] = {}
    for entry in panel.get("break_even", ()):
        arm = next((one for one in panel["arms"] if all(one[key] == entry[key] for key in _SAME)), None)
        if arm is None or not full or (arm["fraction"] or 0.0) >= 1:
            continue
        name, size = _short(panel, arm), tables.size(arm)
        if entry.get("beyond"):
            beyond.setdefault(name, []).append(size)
        elif entry["cheap_fraction"] is None:
            at_once.setdefault(name, []).append(size)
        elif entry["runs"] is None:
            never.setdefault(name, []).append(size)
        else:
            cheap = entry["cheap_fraction"] * full
            cost = [(arm["training_flops"] + arm["selection_flops"] / n) / cheap for n in USES]
            mine = colour[arm["method"]]
            dash = DASHES[sum(one.colour == mine for one in drawn) % len(DASHES)]
            drawn.append(Line(list(USES), cost, f"{name} {size}", mine, dash=dash))
    words = [_sizes("Never, for a cheap method scores as much with less training", never),
             _sizes("At once, for the whole pool does not score as much", at_once),
             _sizes("Not measured: no cheap run scores as much, and none is the whole pool", beyond)]  # fmt: skip
    blocks: list[Block] = [Words(text) for text in words if text]
    if drawn:
        chart = Panel("", drawn[:MOST_LINES], {"pays below": 1.0}, y_range=(0, 3))
        picture = charts.panels([chart], x="uses that share one selection", y="cost over the cheap way", log=True)
        blocks = [Picture(picture), *blocks]
    return blocks


_SAME = ("method", "scorer", "rows", "fraction")


def _at(name: str, sizes: Sequence[str]) -> str:
    return f"{name} at {', '.join(sizes)}"


def _sizes(title: str, found: Mapping[str, Sequence[str]]) -> str:
    return f"{title}: {'; '.join(_at(name, sizes) for name, sizes in found.items())}." if found else ""


def regret(panel: Of, colour: Mapping[str, str]) -> list[Block]:
    """A table, least regret first."""
    lines = panel.get("regret") or ()
    unit = panel["metric"] or "points"
    rows = [
        [str(line["policy"]), tables.number(line["points"], 3),
         tables.NOTHING if line["share"] is None else f"{100 * line['share']:.3g} %"]
        for line in lines
    ]  # fmt: skip
    return [Table(("always", f"mean regret, {unit}", "of random's"), rows)] if rows else []
