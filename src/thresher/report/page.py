"""One self-contained HTML page of a run's folder or a selection's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from thresher.core.store import write_bytes
from thresher.errors import ResultsError, StoreError
from thresher.report import bars, figures, tables
from thresher.report.payoff import BREAK_EVEN_HEAD, break_even_rows
from thresher.report.sections import sections_of
from thresher.report.selection import selection_context

_RECEIPTS = ("receipts", "stages")


def write(
    folder: Path | str,
    out: Path | str | None = None,
    *,
    frontier: Mapping | None = None,
    beside: Sequence[Path] = (),
    in_domain: Sequence[str] = (),
) -> Path:
    """Write the page of a folder; returns its path.

    Args:
        folder: of a run (results.parquet, frontier.json, run.json, selections/*/card.json) or of a
            selection (card.json, scores.parquet, selected.jsonl).
        out: where the page goes; `report.html` in the folder by default.
        frontier: what `planning.frontier` says, where the folder has no frontier.json.
        beside: other selections from the same pool, to show the overlap with.
        in_domain: tasks of a run that are what the pool is about; the others are out-of-domain.

    Raises:
        StoreError: the folder is neither a run's nor a selection's.
        ResultsError: its results cannot be read, or nobody said what the frontier is.
    """
    folder = Path(folder)
    out = folder / "report.html" if out is None else Path(out)
    if (folder / "results.parquet").is_file():
        context = _run_context(folder, frontier)
    elif (folder / "card.json").is_file():
        context = selection_context(folder, _read_json(folder / "card.json"), beside)
    else:
        raise StoreError(
            f"{folder} holds neither results.parquet (a run) nor card.json (a selection). "
            "Name the folder that `thresher run --out` or `thresher select --out` left."
        )
    more = sections_of(folder, beside=beside, in_domain=in_domain)
    write_bytes(out, _render(context | {"sections": more}).encode())
    return out


def _render(context: Mapping) -> str:
    loader = FileSystemLoader(Path(__file__).parent)
    pages = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return figures.numbered(pages.get_template("page.html").render(context, library=Markup(figures.library())))


def _run_context(folder: Path, frontier: Mapping | None) -> dict:
    said = _frontier(folder, frontier)
    about = _read_json(folder / "run.json") if (folder / "run.json").is_file() else {}
    runs = _runs(folder / "results.parquet")
    cards = [(path.parent.name, _read_json(path)) for path in sorted(folder.glob("selections/*/card.json"))]
    colour = figures.colours([arm["method"] for panel in said["panels"] for arm in panel["arms"]])
    drawn: set[str] = set()
    return {
        "kind": "run",
        "title": str(about.get("name") or about.get("title") or folder.resolve().name),
        "subtitle": _subtitle(about, said),
        "answers": _answers(folder, said),
        "verdicts": [panel["verdict"] for panel in said["panels"]] if len(said["panels"]) > 1 else [],
        "panels": [_panel(panel, runs, colour, drawn) for panel in said["panels"]],
        "facts": tables.facts(about, leave_out=(*_RECEIPTS, "name", "title")),
        "receipt_head": tables.RECEIPT_HEAD,
        "receipts": [(name, tables.receipt_rows(found)) for name, found in _receipts(about, cards) if found],
    }


def _answers(folder: Path, said: Mapping) -> list[Mapping]:
    """Was it worth it, in a sentence; and who won, where the run was a race."""
    race = _read_json(folder / "race.json") if (folder / "race.json").is_file() else None
    one = said.get("verdict") or (said["panels"][0]["verdict"] if len(said["panels"]) == 1 else None)
    return [*([one] if one else []), *([{"worth": False, "sentence": race["sentence"]}] if race else [])]


def _subtitle(about: Mapping, said: Mapping) -> str:
    pools = ", ".join(dict.fromkeys(str(panel["pool"]) for panel in said["panels"] if panel.get("pool")))
    models = ", ".join(dict.fromkeys(str(panel["model"]) for panel in said["panels"]))
    runs = sum(panel["runs"] for panel in said["panels"])
    parts = [
        f"{runs} results",
        f"model {models}",
        f"pool {pools}" if pools else "",
        str(about.get("date") or ""),
    ]
    return " · ".join(part for part in parts if part)


def _panel(panel: Mapping, runs: list[dict], colour: Mapping[str, str], drawn: set[str]) -> dict:
    mine = [
        run
        for run in runs
        if (run["task"], run["metric"], run["model"]) == (panel["task"], panel["metric"], panel["model"])
        and (run.get("pool") or "") == panel.get("pool", "")
        and (run.get("protocol") or "") == panel.get("protocol", "")
    ]
    costs = json.dumps(
        [(tables.label(a), tables.size(a), a["selection_flops"], a["training_flops"]) for a in panel["arms"]]
    )
    new = costs not in drawn  # the same models under another task cost the same: one picture is enough
    drawn.add(costs)
    head = [panel["task"], panel["model"], panel.get("pool", ""), panel.get("protocol", "")]
    return {
        "name": " · ".join(str(part) for part in head if part),
        "metric": panel["metric"],
        "sentence": panel["verdict"]["sentence"],
        "figure": Markup(figures.score_against_compute(panel, mine, colour)),
        "bars": Markup(bars.cost_bars(panel)) if new else None,
        "head": tables.FRONTIER_HEAD,
        "rows": [
            (row, row[-1].split(" by ")[0].split(" against ")[0].replace(" ", "-"))
            for row in tables.frontier_rows(panel)
        ],
        "break_even_head": BREAK_EVEN_HEAD,
        "break_even": break_even_rows(panel.get("break_even", [])),
    }


def _frontier(folder: Path, given: Mapping | None) -> Mapping:
    if given is not None:
        return given
    path = folder / "frontier.json"
    if not path.is_file():
        raise ResultsError(
            f"{folder} has results.parquet but no frontier.json, which `thresher run` writes at its end. "
            "Run the same `thresher run` command again to finish it, or use `thresher frontier`."
        )
    return _read_json(path)


def _receipts(about: Mapping, cards: list[tuple[str, dict]]) -> list[tuple[str, list[Mapping]]]:
    return [("the whole run", receipts_of(about)), *((name, receipts_of(card)) for name, card in cards)]


def receipts_of(record: Mapping) -> list[Mapping]:
    """Receipts of a card or run.json, wherever they stand: `receipts`, `stages` or `cost.stages`."""
    inner = record.get("cost")
    for place in (record, inner if isinstance(inner, Mapping) else {}):
        for name in _RECEIPTS:
            if isinstance(place.get(name), list):
                return place[name]
    return []


def _runs(path: Path) -> list[dict]:
    try:
        return pq.ParquetFile(path).read().to_pylist()
    except (OSError, UnicodeDecodeError, pa.ArrowException) as problem:
        raise ResultsError(f"{path} cannot be read as parquet: {problem}.") from problem


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise StoreError(f"{path} cannot be read: {problem}. Was it cut off, or edited by hand?") from problem
