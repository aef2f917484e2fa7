"""Clusters of a selection, from what `thresher inspect` left: curves, sizes, budget, purity, words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from thresher.report import charts, tables
from thresher.report.charts import Line, Panel
from thresher.report.figures import PALETTE
from thresher.report.section import Heading, Picture, Section, Table, Words, read_json

MOST = 3  # selections of a run that are shown
CENTRES = 40  # clusters whose mean curve is drawn


def inspected(folder: Path) -> Iterator[tuple[str, Path]]:
    """Folders of diagnostics: a selection's own, or those of the first inspected selections of a run."""
    if (folder / "diagnostics").is_dir():
        yield "", folder / "diagnostics"
    found = sorted(path for path in folder.glob("selections/*/diagnostics") if path.is_dir())
    for path in found[:MOST]:
        yield f" · {path.parent.name}", path


def clusters(folder: Path) -> list[Section]:
    """Sizes and budget, curves, purity, and rows to read."""
    sections = []
    for name, path in inspected(folder):
        about, curve = read_json(path / "clusters.json"), read_json(path / "curves.json")
        if curve:
            sections.append(_curves(name, curve))
        if about:
            sections.append(_flow(name, about))
            if about.get("purity"):
                sections.append(_purity(name, about))
            sections.append(_gallery(name, about))
    return sections


def _curves(name: str, curve: Mapping[str, Any]) -> Section:
    steps, one = curve["steps"], curve["cluster"]
    inside = [
        Line(steps, line["loss"], f"row {line['row']}", PALETTE[i], quiet=True)
        for i, line in enumerate(curve["inside"])
    ]
    across = [
        Line(steps, line["loss"], f"row {line['row']}, cluster {line['cluster'] + 1}", PALETTE[i], quiet=True)
        for i, line in enumerate(curve["across"])
    ]
    centres = [
        Line(
            steps, line["loss"], f"cluster {i + 1}, {line['size']} rows", PALETTE[0], width=1.0, marks=False, quiet=True
        )  # fmt: skip
        for i, line in enumerate(curve["centres"][:CENTRES])
    ]
    more = len(curve["centres"]) - len(centres)
    drawn = [
        Panel(f"{len(inside)} rows of cluster {one + 1}", inside),
        Panel(f"{len(across)} rows of different clusters", across),
        Panel("means of clusters" if more == 0 else f"means of the {CENTRES} largest clusters", centres),
    ]
    unit = "loss less the step's mean" if curve.get("relative") else "loss, nats per token"
    picture = charts.panels(drawn, x="optimiser steps of the proxy", y=unit)
    return Section(
        f"Loss while the proxy learns{name}",
        [Picture(picture), Words("Rows drawn at random by a fixed seed; the cluster is one of median size.")],
    )


def _flow(name: str, about: Mapping[str, Any]) -> Section:
    lines = about["clusters"]
    size, taken = [line["size"] for line in lines], [line["taken"] for line in lines]
    log = max(size) > 30 * max(1, sorted(size)[len(size) // 2])
    blocks: list[Any] = [
        Picture(charts.overlaid_bars(size, taken, x="clusters, largest first", log=log)),
        Words(
            f"{tables.count(about['taken'])} of {tables.count(about['rows'])} rows were taken from {len(lines)} "
            f"clusters of {about['signal']}; {sum(t == s for s, t in zip(size, taken, strict=True))} clusters whole, "
            f"{sum(t == 0 for t in taken)} not at all."
        ),
    ]
    if about["groups"]:
        blocks.append(Table(("group", "rows", "of the pool", "taken", "of the subset", "of its own rows", "clusters"), [
            [line["group"], tables.count(line["size"]), tables.percent(line["size"] / about["rows"]),
             tables.count(line["taken"]), tables.percent(line["taken"] / max(about["taken"], 1)),
             tables.percent(line["taken"] / line["size"]), tables.count(line["clusters"])]
            for line in about["groups"]
        ]))  # fmt: skip
    rows = [
        [str(i), tables.count(line["size"]), tables.count(line["taken"]), tables.percent(line["taken"] / line["size"]),
         line.get("topic", tables.NOTHING), tables.percent(line.get("purity"))]
        for i, line in enumerate(lines, 1)
    ]  # fmt: skip
    head = ("cluster", "rows", "taken", "of its rows", "commonest group", "purity")
    blocks.append(Table(head, rows, folded=f"Every one of the {len(rows)} clusters"))
    return Section(f"Where the budget went{name}", blocks)


def _purity(name: str, about: Mapping[str, Any]) -> Section:
    found = about["purity"]
    ours, theirs = found["clustered"], found["embedding"]
    picture = charts.two_histograms(
        (f"by {about['signal']}", ours), (f"by {found['embedding_is']}", theirs), x="purity of a cluster", y="clusters"
    )
    sizes = [line["size"] for line in about["clusters"]]
    mean = [_weighted(ours, sizes), _weighted(theirs, found["sizes_embedding"])]
    return Section(f"Do clusters follow the groups?{name}", [
        Picture(picture),
        Words(
            f"Purity is the share of a cluster's commonest group. Over rows it is {tables.percent(mean[0])} by "
            f"{about['signal']} and {tables.percent(mean[1])} by {found['embedding_is']}; the two clusterings of the "
            f"same K have an adjusted Rand index of {tables.number(found['adjusted_rand'], 2)} (0 chance, 1 equal)."
        ),
    ])  # fmt: skip


def _weighted(purity: list[tables.Number], size: list[int]) -> float:
    return sum(p * s for p, s in zip(purity, size, strict=True)) / sum(size)


def _gallery(name: str, about: Mapping[str, Any]) -> Section:
    blocks: list[Any] = []
    for cluster in about["gallery"]:
        many = "row" if cluster["size"] == 1 else "rows"
        blocks.append(Heading(f"Cluster {cluster['cluster'] + 1}, {tables.count(cluster['size'])} {many}"))
        rows = [[line["id"], line["group"], f"{line['prompt']}\n→ {line['answer']}"] for line in cluster["rows"]]
        blocks.append(Table(("id", "group", "row"), rows, wide=True))
    return Section(f"Rows of a few clusters{name}", blocks)
