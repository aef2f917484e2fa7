"""Arms of a run: score against rows, what each stage cost, and what a field of the method does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow.parquet as pq

from thresher.report import charts, tables
from thresher.report.charts import Line, Panel
from thresher.report.chosen import Chosen, of_run
from thresher.report.figures import PALETTE, colours
from thresher.report.section import Heading, Picture, Section, Words, read_json

Results = list[dict[str, Any]]
STAGES = {"train the model": "#5a86c4", "train the proxy": "#e0913a", "read rows": "#e9c46a", "choose": "#8c5bd6"}
UNTRAINED = ("zero-shot", "full")


def results_of(folder: Path) -> Results:
    """Lines of results.parquet, with every column that is read here; none where there is no such file."""
    path = folder / "results.parquet"
    optional = {"budget": "", "protocol": "", "rows": None, "seed": None}
    return [optional | line for line in pq.ParquetFile(path).read().to_pylist()] if path.is_file() else []


def arms(folder: Path, *, in_domain: Sequence[str] = ()) -> list[Section]:
    """What a run's own table and cards have to say, besides score against compute."""
    lines = results_of(folder)
    if not lines:
        return []
    told = (read_json(folder / "run.json") or {}).get("spec") or {}
    inside = tuple(in_domain) or tuple(told.get("in_domain") or ())
    better = {
        (panel["task"], panel["metric"]): panel.get("higher_is_better", True)
        for panel in (read_json(folder / "frontier.json") or {}).get("panels", ())
    }
    found = of_run(folder)
    sections = []
    for model, protocol in dict.fromkeys((line["model"], line.get("protocol") or "") for line in lines):
        mine = [line for line in lines if (line["model"], line.get("protocol") or "") == (model, protocol)]
        some = [
            *score_against_rows(mine, better, inside), *stage_costs(found, mine), *fields_matter(found, mine, better),
        ]  # fmt: skip
        name = "" if len(mine) == len(lines) else f": {model} {protocol}".rstrip()
        sections += [Section(section.title + name, section.blocks) for section in some]
    return sections


def score_against_rows(
    lines: Results, better: Mapping[tuple[str, str], bool], inside: Sequence[str]
) -> list[Section]:
    """Relative score against rows, a line a method: tasks of the domain, and the others."""
    blocks: list[Any] = []
    for metric in dict.fromkeys(line["metric"] for line in lines):
        mine = [line for line in lines if line["metric"] == metric]
        reference = references(mine)
        sides = {
            "in-domain": [task for task in reference if task in inside],
            "out-of-domain": [task for task in reference if task not in inside],
        }  # fmt: skip
        if not inside or not sides["in-domain"]:
            sides = {"all tasks": list(reference)}
        shown = [
            _panel(f"{name}: {', '.join(tasks)}", [line for line in mine if line["task"] in tasks], reference, better)
            for name, tasks in sides.items()
        ]
        shown = [panel for panel in shown if panel.lines]
        if shown:
            blocks += [
                Heading(metric),
                Picture(charts.panels(shown, x="rows", y="relative score", log=True, columns=2)),
            ]
    if not blocks:
        return []
    full = any(line["method"] == "full" for line in lines)
    words = (
        f"Score over that of {'training on all rows' if full else 'random rows at the largest budget'}; for losses the "
        "other way round, so above 1 is always better. Means over tasks, then over seeds, with one standard error. The "
        "untrained model is drawn where it is near."
    )
    return [Section("Score against rows", [*blocks, Words(words)])]


def references(lines: Results) -> dict[str, float]:
    """Each task's score of `full`, else of random rows at the largest budget; tasks without one, or at 0, are out."""
    found = {}
    for task in dict.fromkeys(line["task"] for line in lines):
        mine = [line for line in lines if line["task"] == task]
        whole = [line["score"] for line in mine if line["method"] == "full"]
        random = [line for line in mine if line["method"] == "random"]
        most = max((line["rows"] or 0 for line in random), default=0)
        whole = whole or [line["score"] for line in random if line["rows"] == most]
        if whole and fmean(whole) > 0:
            found[task] = fmean(whole)
    return found


def relative(line: Mapping[str, Any], reference: Mapping[str, float], better: Mapping[tuple[str, str], bool]) -> float:
    """Above 1 is better than the reference, for losses too."""
    ratio = line["score"] / reference[line["task"]]
    if better.get((line["task"], line["metric"]), True):
        return ratio
    return 1 / ratio if ratio > 0 else float("inf")


def _panel(
    title: str, lines: Results, reference: Mapping[str, float], better: Mapping[tuple[str, str], bool]
) -> Panel:
    colour = colours([line["method"] for line in lines])
    drawn, across = [], {}
    for method in dict.fromkeys(line["method"] for line in lines):
        mine = [line for line in lines if line["method"] == method and line["rows"] is not None]
        if method.startswith("zero-shot:") or not mine:
            continue
        if method in UNTRAINED:
            across[method] = fmean(relative(line, reference, better) for line in mine)
            continue
        points = over_seeds(mine, reference, better, by=lambda line: line["budget"] or line["rows"])
        points.sort()
        drawn.append(
            Line([p[0] for p in points], [p[1] for p in points], method, colour[method], error=[p[2] for p in points])
        )
    return Panel(title, drawn, _near(across, drawn))


def _near(across: Mapping[str, float], drawn: Sequence[Line]) -> dict[str, float]:
    """The untrained model and the full pool, unless so far off that they would flatten the rest."""
    values = [y for line in drawn for y in line.y if y is not None]
    if not values:
        return {}
    span = max(values) - min(values)
    return {name: y for name, y in across.items() if min(values) - span <= y <= max(values) + span}


def over_seeds(
    lines: Results, reference: Mapping[str, float], better: Mapping[tuple[str, str], bool], *, by: Any  # noqa: ANN401
) -> list[tuple[float, float, float]]:
    """(rows, mean, standard error) of each size: over tasks inside a seed first, then over seeds."""
    points = []
    for size in dict.fromkeys(by(line) for line in lines):
        mine = [line for line in lines if by(line) == size]
        seeds = dict.fromkeys(line["seed"] for line in mine)
        values = [fmean(relative(line, reference, better) for line in mine if line["seed"] == seed) for seed in seeds]
        se = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        points.append((fmean(line["rows"] or 0 for line in mine), fmean(values), se))
    return points


def stage_costs(found: Sequence[Chosen], lines: Results) -> list[Section]:
    """Stacked bars: what training and each stage of choosing cost, means over seeds."""
    bars: dict[str, dict[str, float]] = {}
    for label, budget in dict.fromkeys((one.label, one.budget) for one in found):
        cards = [one.card for one in found if (one.label, one.budget) == (label, budget)]
        trained = [line["training_flops"] for line in lines if (line["method"], line["budget"]) == (label, budget)]
        parts = {"train the model": fmean(trained) if trained else 0.0}
        for card in cards:
            for receipt in (card.get("cost") or {}).get("stages", ()):
                kind = stage_of(receipt)
                parts[kind] = parts.get(kind, 0.0) + receipt["flops"] / len(cards)
        bars[f"{label}  {budget}"] = parts
    if not any(value for parts in bars.values() for kind, value in parts.items() if kind != "train the model"):
        return []
    used = [kind for kind in STAGES if any(parts.get(kind) for parts in bars.values())]
    picture = charts.stacked(
        list(bars), {kind: [parts.get(kind, 0.0) for parts in bars.values()] for kind in used}, STAGES, x="FLOPs"
    )
    words = "Counted while it ran, padding included; what a method found in the store is charged to it in full."
    return [Section("What each stage cost", [Picture(picture), Words(words)])]


def stage_of(receipt: Mapping[str, Any]) -> str:
    """The bar's part a receipt belongs to."""
    if receipt.get("kind") == "train":
        return "train the proxy"
    return "read rows" if receipt.get("kind") in ("forward", "generate") else "choose"


def fields_matter(
    found: Sequence[Chosen], lines: Results, better: Mapping[tuple[str, str], bool]
) -> list[Section]:
    """Score against each field in which arms of one method differ and in nothing else: K, T, the proxy, any other."""
    described = {one.label: (str(one.card["method"]), _fields(one.card)) for one in found}
    blocks: list[Any] = []
    for name in sorted({name for _, fields in described.values() for name in fields}):
        series: dict[tuple, list[tuple[Any, str]]] = {}
        for label, (method, fields) in described.items():
            if name in fields:
                rest = tuple(sorted((k, str(v)) for k, v in fields.items() if k != name))
                series.setdefault((method, rest), []).append((fields[name], label))
        varied = {key: arms for key, arms in series.items() if len({str(value) for value, _ in arms}) > 1}
        if varied:
            blocks += _effect(name, varied.values(), lines, better)
    if not blocks:
        return []
    words = "Arms that differ in this field and in nothing else; means over tasks and seeds with one standard error."
    return [Section("What the fields do", [*blocks, Words(words)])]


def _effect(
    name: str, varied: Iterable[list[tuple[Any, str]]], lines: Results, better: Mapping[tuple[str, str], bool]
) -> list[Any]:
    panels = []
    for metric in dict.fromkeys(line["metric"] for line in lines):
        mine = [line for line in lines if line["metric"] == metric]
        reference = references(mine)
        drawn = []
        for arms_ in varied:
            arms_ = sorted(arms_, key=lambda arm: (isinstance(arm[0], str), arm[0] if arm[0] is not None else 0))
            budgets = dict.fromkeys(line["budget"] for line in mine if line["method"] in {label for _, label in arms_})
            for budget in budgets:
                points = []
                for value, label in arms_:
                    here = [line for line in mine if (line["method"], line["budget"]) == (label, budget)
                            and line["task"] in reference]  # fmt: skip
                    if here:
                        points.append((str(value), over_seeds(here, reference, better, by=lambda line: 0)[0]))
                drawn.append(
                    Line([v for v, _ in points], [p[1] for _, p in points], budget, PALETTE[len(drawn) % len(PALETTE)],
                         error=[p[2] for _, p in points])
                )  # fmt: skip
        if drawn and reference:
            panels.append(Panel(metric, drawn))
    if not panels:
        return []
    field = name.rpartition(".")[2]
    return [
        Heading(name),
        Picture(
            charts.panels(
                panels, x=field, y="relative score", category=True, shared=False, columns=2, height=300
            )
        ),
    ]  # fmt: skip


def _fields(card: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of the signals and the selector, nested ones by their path; a proxy by the name it was given."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, described: Mapping[str, Any]) -> None:
        for key, value in described["fields"].items():
            if isinstance(value, Mapping) and "fields" in value:
                walk(value["name"], value)
            else:
                flat[f"{prefix}.{key}"] = Path(value).name if key == "model" and value else value

    for described in [*card.get("signals", ()), card.get("selector") or {"name": "", "fields": {}}]:
        walk(described["name"], described)
    return {key: tables.number(value) if isinstance(value, float) else value for key, value in flat.items()}
