"""What a choice by loss trajectories rests on, as `thresher inspect` measured it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.report import charts, tables
from thresher.report.charts import Line, Panel
from thresher.report.clusters import inspected
from thresher.report.figures import PALETTE
from thresher.report.section import Heading, Picture, Section, Table, Words, read_json
from thresher.report.tables import Number

_PAIRS = (("in_cluster", "same cluster", PALETTE[0]), ("across", "different clusters", charts.POOL))
_SUBSETS = (("clustered", "spread over clusters", PALETTE[0]), ("random", "random", charts.POOL))


def theory(folder: Path) -> list[Section]:
    """Does the proxy speak for the model, are gradients alike in a cluster, does the subset stand for the pool?"""
    sections = []
    for name, path in inspected(folder):
        agreement, gradients, length = (
            read_json(path / f"{file}.json") for file in ("agreement", "gradients", "length")
        )
        if agreement:
            sections.append(_agreement(name, agreement))
        if gradients:
            sections.append(_gradients(name, gradients))
        if length:
            sections.append(_length(name, length))
    return sections


def _agreement(name: str, said: Mapping[str, Any]) -> Section:
    r, rest = said["pearson"], said["rest"]  # ascending
    progress = [step / said["proxy_total"] for step in said["proxy_steps"]]
    drawn = [
        Panel("each row: correlation of its two curves",
              [_steps(r, "as they are", PALETTE[0]), _steps(rest, "less the mean curve", PALETTE[2])],
              x="Pearson correlation", y="share of rows up to here", x_range=_from_zero([*r, *rest]),
              y_range=(0.0, 1.0)),
        Panel("each point: correlation of the rows' order",
              [Line(progress, said["spearman"], "rank correlation", PALETTE[1], quiet=True)],
              x="share of the proxy's run", y="Spearman correlation",
              y_range=_from_zero(said["spearman"])),
    ]  # fmt: skip
    known = [value for value in said["spearman"] if value is not None]
    mean = sum(known) / len(known) if known else None
    lines = [
        ["rows of the sample", tables.count(said["rows"])],
        ["median correlation of a row's two curves", _number(said["pearson_median"])],
        ["the same after the sample's mean curve is taken off both", _number(said["rest_median"])],
        ["rows whose loss does not move in one of them", tables.count(said["flat"])],
        ["mean rank correlation over points", _number(mean)],
        [f"adjusted Rand index of the two clusterings, K = {said['clusters']}", _number(said["adjusted_rand"])],
        ["the same of the proxy's clustering with its own from another start",
         _number(said["adjusted_rand_of_another_start"])],
        *_receipts(said["receipts"]),
    ]  # fmt: skip
    return Section(f"Does the proxy speak for the model?{name}", [
        Table(("", ""), lines),
        Words(
            "The model was trained for a few steps of its own recipe and read on a sample at the same shares of the "
            "run as the proxy. All losses fall, which alone makes curves correlate: what is left without the "
            "mean curve, the order of the rows and the clusters are the harder tests. Near 0, do not trust the proxy."
        ),
        Picture(charts.panels(drawn if r else drawn[1:], shared=False, height=300)),
    ])  # fmt: skip


def _steps(values: Sequence[Number], name: str, colour: str) -> Line:
    """The share of the rows up to each value."""
    return Line(values, [(i + 1) / len(values) for i in range(len(values))], name, colour, marks=False)


def _from_zero(values: Sequence[Number | None]) -> tuple[Number, Number]:
    """An axis of correlations: down to 0, or to where they go below it."""
    return min([0.0, *(value for value in values if value is not None)]) * 1.05, 1.02


def _gradients(name: str, said: Mapping[str, Any]) -> Section:
    points = said["checkpoints"]
    steps = [str(point["step"]) for point in points]
    rows = []
    for point in points:
        cosine = point["cosine"]
        rows.append([
            str(point["step"]), _number(cosine["in_cluster"]["value"]), _number(cosine["across"]["value"]),
            _interval(cosine["difference"]), tables.count(cosine["pairs_in"]), tables.count(cosine["pairs_across"]),
        ])  # fmt: skip
    lines = [
        _spread(steps, [point["cosine"][key] for point in points], label, colour) for key, label, colour in _PAIRS
    ]
    reach = [y for line in lines for y, e in zip(line.y, line.error or (), strict=True) if y is not None
             for y in (y - e, y + e)]  # fmt: skip
    scale = (min([0.0, *reach]) * 1.05, max([0.1, *reach]) * 1.05)
    cosines = Panel("mean cosine of two rows' gradients", lines, y_range=scale)
    errors = [
        Panel(f"step {point['step']}", [
            Line([e["k"] for e in point["error"]], [e[side]["mean"] for e in point["error"]], label, colour,
                 error=[e[side]["sd"] for e in point["error"]])
            for side, label, colour in _SUBSETS
        ])
        for point in points
    ]  # fmt: skip
    return Section(f"Are gradients alike inside a cluster?{name}", [
        Picture(charts.panels([cosines], x="optimiser steps of the model", y="cosine", height=290, category=True)),
        Table(("step", "same cluster", "different clusters", "difference and 95 % interval", "pairs inside",
               "pairs across"), rows),
        Words(
            f"Gradients of {tables.count(said['rows'])} rows, projected to {said['projected_to']} numbers. Intervals "
            "are of a bootstrap over rows. The difference should be clearly above 0."
        ),
        Heading("Does a subset of the sample stand for all of it?"),
        Picture(charts.panels(errors, x="rows of the subset", y="relative error of the summed gradient", log=True)),
        Words(
            "Length of the difference between the summed gradient of the sample and the weighted sum of a subset, over "
            "the former; marks are means over draws, bars their standard deviation. A row weighs its cluster's size "
            "over the rows taken from it, a random row the sample over the subset. Clusters of which nothing is taken "
            "are missing: below as many rows as clusters the comparison is about that."
        ),
        Table(("", ""), _receipts(said["receipts"])),
    ])  # fmt: skip


def _spread(x: Sequence[str], values: Sequence[Mapping[str, Any]], name: str, colour: str) -> Line:
    """Half the width of each interval as its bar."""
    half = [
        (value["high"] - value["low"]) / 2 if value["low"] is not None and value["high"] is not None else 0.0
        for value in values
    ]
    return Line(x, [value["value"] for value in values], name, colour, error=half)


def _length(name: str, said: Mapping[str, Any]) -> Section:
    return Section(f"Is it only length?{name}", [
        Words(
            f"Over {tables.count(said['rows'])} rows the mean loss along the proxy's run and the tokens of the answer "
            f"have a rank correlation of {_number(said['spearman'])} (median answer "
            f"{tables.count(said['tokens']['median'])} tokens, longest {tables.count(said['tokens']['highest'])}). Far "
            "from 0, clusters of loss are partly clusters of length."
        ),
    ])  # fmt: skip


def _receipts(receipts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [f"cost: {receipt['stage'].removeprefix('inspect: ')}",
         f"{tables.flops(receipt['flops'])} FLOPs, {tables.seconds(receipt['seconds'])}; not on the selection's bill"]
        for receipt in receipts
    ]  # fmt: skip


def _number(value: Number | None) -> str:
    return tables.NOTHING if value is None else f"{value:.3f}"


def _interval(said: Mapping[str, Any]) -> str:
    if said["value"] is None or said["low"] is None:
        return _number(said["value"])
    return f"{said['value']:+.3f} [{said['low']:.3f}, {said['high']:.3f}]"
