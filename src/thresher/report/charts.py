"""Lines, dots, intervals and grids of numbers, drawn by plotly; text from the data is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from thresher.report.figures import PALETTE, to_div
from thresher.report.tables import Number

POOL, GREY = "#8a8f98", "rgba(128,136,150,0.35)"


@dataclass(frozen=True)
class Line:
    """One line or set of marks of a panel."""

    x: Sequence[Number | str]
    y: Sequence[Number | None]
    name: str
    colour: str
    error: Sequence[Number] | None = None
    dash: str = "solid"
    width: float = 1.8
    marks: bool = True
    quiet: bool = False  # no entry in the legend


@dataclass(frozen=True)
class Panel:
    """Some lines under a title; `across` are horizontal lines with a name."""

    title: str
    lines: Sequence[Line]
    across: Mapping[str, Number] = field(default_factory=dict)
    x: str = ""  # the axes' own names, where panels differ
    y: str = ""
    x_range: tuple[Number, Number] | None = None
    y_range: tuple[Number, Number] | None = None


def panels(
    drawn: Sequence[Panel], *, x: str = "", y: str = "", log: bool = False, height: int = 340, shared: bool = True,
    columns: int = 3, category: bool = False,
) -> str:  # fmt: skip
    """Panels beside one another, the same y axis for all; a name stands in the legend once."""
    wide = min(columns, len(drawn))
    deep = -(-len(drawn) // wide)
    figure = make_subplots(
        rows=deep, cols=wide, shared_yaxes="all" if shared else False,
        horizontal_spacing=0.05 if shared else 0.1,
        vertical_spacing=0.22 / deep, subplot_titles=[escape(panel.title) for panel in drawn],
    )  # fmt: skip
    seen: set[str] = set()
    for number, panel in enumerate(drawn):
        row, col = number // wide + 1, number % wide + 1
        for line in panel.lines:
            figure.add_trace(_trace(line, shown=not line.quiet and line.name not in seen), row=row, col=col)
            seen.add(line.name)
        for name, value in panel.across.items():
            figure.add_hline(
                y=value, row=row, col=col, line={"color": POOL, "dash": "dot", "width": 1.4},
                annotation={"text": escape(name), "font": {"size": 11}},
            )  # fmt: skip
        last = number + wide >= len(drawn)
        figure.update_xaxes(title=panel.x or (x if last else None), row=row, col=col)
        figure.update_yaxes(title=panel.y or (y if col == 1 else None), row=row, col=col)
        figure.update_xaxes(range=panel.x_range, row=row, col=col)
        figure.update_yaxes(range=panel.y_range, row=row, col=col)
        if log:
            figure.update_xaxes(type="log", tickvals=_round_ticks(panel), row=row, col=col, tickformat=",d")
        if category:
            figure.update_xaxes(type="category", row=row, col=col)
    figure.update_annotations(font_size=13)
    named = len(seen) > 0 and any(not line.quiet for panel in drawn for line in panel.lines)
    if shared:
        figure.update_xaxes(matches="x")
    return to_div(figure, height * deep + 34 * named, top=74 if named else 34)


def _round_ticks(panel: Panel) -> list[float]:
    """The places that were measured, those too near to the one before left out."""
    values = sorted({float(x) for line in panel.lines for x in line.x if x})  # a logarithmic axis has no 0
    kept: list[float] = []
    for value in values:
        if not kept or value / kept[-1] > 1.35:
            kept.append(value)
    return kept


def _trace(line: Line, *, shown: bool) -> go.Scatter:
    error = None
    if line.error is not None:
        error = {"type": "data", "array": [e or 0 for e in line.error], "thickness": 1.2, "width": 3}
    return go.Scatter(
        x=list(line.x), y=list(line.y), name=escape(line.name), legendgroup=escape(line.name), showlegend=shown,
        mode="lines+markers" if line.marks else "lines", error_y=error,
        line={"color": line.colour, "width": line.width, "dash": line.dash}, marker={"size": 6},
        hovertemplate=f"{escape(line.name)}<br>%{{x}}<br>%{{y:.4g}}<extra></extra>",
    )  # fmt: skip


def overlaid_bars(size: Sequence[Number], taken: Sequence[Number], *, x: str, log: bool) -> str:
    """Bars of what was taken in front of what there was."""
    figure = go.Figure()
    for name, values, colour in (("in the pool", size, GREY), ("taken", taken, PALETTE[0])):
        figure.add_trace(
            go.Bar(x=list(range(1, len(size) + 1)), y=list(values), name=name, marker={"color": colour},
                   hovertemplate=f"cluster %{{x}}<br>%{{y:,}} {name}<extra></extra>")
        )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0.12)
    figure.update_xaxes(title=x, showgrid=False)
    figure.update_yaxes(title="rows", type="log" if log else "linear", tickformat=",d")
    if log:
        figure.update_yaxes(dtick=1)
    return to_div(figure, 320)


def two_histograms(first: tuple[str, Sequence[Number]], second: tuple[str, Sequence[Number]], *, x: str, y: str) -> str:
    """Counts of two lists over the same twenty bins from 0 to 1."""
    figure = go.Figure()
    for (name, values), colour in zip((second, first), (POOL, PALETTE[0]), strict=True):
        figure.add_trace(
            go.Histogram(x=[min(v, 0.9999) for v in values], name=escape(name),
                         marker={"color": colour, "opacity": 0.6}, xbins={"start": 0.0, "end": 1.0, "size": 0.05},
                         autobinx=False,
                         hovertemplate=f"{escape(name)}<br>%{{x}}: %{{y}}<extra></extra>")
        )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0.04)
    figure.update_xaxes(title=x, range=[0, 1.01], showgrid=False, tickformat=".0%")
    figure.update_yaxes(title=y)
    return to_div(figure, 300)


def dots(
    rows: Sequence[str], columns: Mapping[str, Sequence[Number]], *, x: str, most: Number, pool: str = "pool"
) -> str:
    """One line a row of names, a dot for each column on it; the pool's is a grey diamond."""
    figure = go.Figure()
    shown = [escape(name) + " " for name in rows]
    for at, name in enumerate(shown):
        values = [column[at] for column in columns.values()]
        figure.add_shape(
            type="line", x0=min(values), x1=max(values), y0=name, y1=name, line={"color": GREY, "width": 2},
            layer="below",
        )  # fmt: skip
    for number, (name, values) in enumerate(columns.items()):
        own = name == pool
        colour = POOL if own else PALETTE[(number - (pool in columns)) % len(PALETTE)]
        figure.add_trace(
            go.Scatter(x=list(values), y=shown, name=escape(name), mode="markers",
                       marker={"color": colour, "size": 12 if own else 9, "symbol": "diamond" if own else "circle"},
                       hovertemplate=f"%{{y}}<br>{escape(name)} %{{x:.1%}}<extra></extra>")
        )  # fmt: skip
    figure.update_xaxes(title=x, tickformat=".0%", range=[0, most])
    figure.update_yaxes(autorange="reversed", showgrid=True)
    return to_div(figure, 130 + 26 * len(rows))


def stacked(names: Sequence[str], parts: Mapping[str, Sequence[Number]], colour: Mapping[str, str], *, x: str) -> str:
    """Horizontal bars, one for each name, made of parts."""
    figure = go.Figure()
    shown = [escape(name) + " " for name in names]
    for part, values in parts.items():
        figure.add_trace(
            go.Bar(y=shown, x=list(values), orientation="h", name=escape(part), marker={"color": colour[part]},
                   hovertemplate=f"%{{y}}<br>{escape(part)} %{{x:.3g}}<extra></extra>")
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.35, legend={"traceorder": "normal"})
    figure.update_xaxes(title=x, exponentformat="power")
    figure.update_yaxes(showgrid=False, autorange="reversed")
    return to_div(figure, 130 + 26 * len(names))


def grid(names: Sequence[str], values: Sequence[Sequence[Number | None]]) -> str:
    """A square of numbers from 0 to 1, each written in its field."""
    shown = [escape(name) for name in names]
    figure = go.Figure(
        go.Heatmap(
            z=[list(row) for row in values], x=shown, y=shown, zmin=0, zmax=1, xgap=2, ygap=2,
            colorscale=[[0, "rgba(47,111,222,0.06)"], [1, "rgba(47,111,222,0.9)"]], showscale=False,
            text=[["" if v is None else f"{v:.2f}" for v in row] for row in values],
            texttemplate="%{text}" if len(names) <= 16 else None,
            hovertemplate="%{y}<br>%{x}<br>Jaccard %{z:.3f}<extra></extra>", hoverongaps=False,
        )
    )  # fmt: skip
    figure.update_xaxes(showgrid=False, tickangle=-40, type="category")
    figure.update_yaxes(showgrid=False, autorange="reversed", type="category")
    return to_div(figure, 160 + 34 * len(names))
