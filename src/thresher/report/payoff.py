"""When choosing pays, in words and rows: break-even with its spread, size ratios, and where fitted curves cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.report import tables
from thresher.report.section import Heading, Section, Table, Words, read_json

Of = Mapping[str, Any]
BREAK_EVEN_HEAD = (
    "method", "size", "cheap rows for the same score", "pays from", "95 %", "model over scorer", "needed", "95 %",
)  # fmt: skip
_CROSSING_HEAD = ("FLOPs", "score", "leads before", "leads after", "")
_ABOUT = (
    "The target-to-scorer size ratio from which a method pays is the selection bill over what its rows save against "
    "the best cheap method. Curves are read from their cheapest run to their dearest; a crossing is certain if on "
    "either side the two 95 % bands come apart."
)


def payoff(folder: Path) -> list[Section]:
    """What frontier.json says of ratios and crossings; nothing where it says neither."""
    said = read_json(folder / "frontier.json") or {}
    blocks: list[Any] = [Words(one["sentence"]) for one in said.get("size_ratios", ())]
    panels = said.get("panels", ())
    for panel in panels:
        words, rows = curve_words(panel), crossing_rows(panel)
        if words and (rows or not len(panels) > 1):
            head = " · ".join(str(panel[key]) for key in ("task", "metric", "model") if panel[key])
            blocks += [*([Heading(head)] if len(panels) > 1 else []), Words(words)]
            blocks += [Table(_CROSSING_HEAD, rows)] if rows else []
    return [Section("When choosing pays", [*blocks, Words(_ABOUT)])] if blocks else []


def curve_words(panel: Of) -> str:
    """Who leads by the fitted curves, from how much compute on, and what not to read into them."""
    curves = panel.get("curves")
    if not curves:
        return ""
    notes = "".join(f"{note[0].upper()}{note[1:]}. " for note in curves["notes"]).strip()
    if not curves["frontier"]:
        return notes
    leads = ", ".join(f"{tables.label(one)} from {one['from']:.3g}" for one in curves["frontier"])
    met = curves["crossings"]
    sure = sum(one["certain"] for one in met)
    crossed = f"; {sure} of {len(met)} crossing points are certain" if met else "; no two curves cross"
    return f"By the fitted curves the lead has, by total FLOPs: {leads}{crossed}. {notes}".strip()


def crossing_rows(panel: Of) -> list[list[str]]:
    """Where two fitted curves change places, cheapest first."""
    return [
        [tables.flops(one["at"]), tables.number(one["score"]), tables.label(one["before"]), tables.label(one["after"]),
         "certain" if one["certain"] else "may be chance"]
        for one in (panel.get("curves") or {}).get("crossings", ())
    ]  # fmt: skip


def break_even_rows(entries: Sequence[Of]) -> list[list[str]]:
    """An arm that paid for choosing a line."""
    return [
        [tables.label(one), tables.percent(one["fraction"]), tables.percent(one.get("cheap_fraction")),
         _bound(one, _runs(one["runs"])), _ends(one, "runs", _runs), _ratio(one.get("size_ratio"), tables.NOTHING),
         _bound(one, _ratio(one.get("size_ratio_needed"), "never")) if one.get("size_ratio") else tables.NOTHING,
         _ends(one, "size_ratio_needed", lambda value: _ratio(value, "never"))]
        for one in entries
    ]  # fmt: skip


def _bound(entry: Of, shown: str) -> str:
    """A number for which no cheap run of the table was large enough is at most that, or was not measured."""
    if not entry.get("beyond"):
        return shown
    return "not measured" if shown == "never" else f"at most {shown}"


def _runs(value: float | None) -> str:
    if value is None:
        return "never"
    return "at once" if value <= 1 else f"{value:.3g} runs"


def _ratio(value: float | None, absent: str) -> str:
    return absent if value is None else f"{value:.3g}"


def _ends(entry: Of, name: str, shown: Any) -> str:  # noqa: ANN401
    ends = (entry.get("interval") or {}).get(name)
    if ends is None:
        return tables.NOTHING
    low, high = map(shown, ends)
    return low if low == high else f"{low} to {high}"
