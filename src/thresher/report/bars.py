"""Bars: what arms cost, where rows come from, how values spread. Text from the data is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from thresher.report import tables
from thresher.report.figures import PALETTE, to_div

_SELECTION, _TRAINING = "#e0913a", "#5a86c4"


def cost_bars(panel: Mapping) -> str:
    """Selection and training stacked, one bar per method and budget."""
    arms = [arm for arm in panel["arms"] if arm["total_flops"] > 0][::-1]
    names = [f"{escape(tables.label(arm))}  {escape(tables.size(arm))} " for arm in arms]
    figure = go.Figure()
    for part, colour in (("selection", _SELECTION), ("training", _TRAINING)):
        values = [arm[f"{part}_flops"] for arm in arms]
        figure.add_trace(
            go.Bar(
                y=names,
                x=values,
                orientation="h",
                name=part,
                marker={"color": colour},
                text=[f"{part} {tables.flops(value)} FLOPs" for value in values],
                textposition="none",
                hovertemplate="%{y}<br>%{text}<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.35, legend={"traceorder": "normal"})
    figure.update_xaxes(title="FLOPs", exponentformat="power")
    figure.update_yaxes(showgrid=False)
    return to_div(figure, 130 + 26 * len(arms))


def group_mix(names: Sequence[str], pool: Sequence[float], subset: Sequence[float]) -> str:
    """Share of every group in the pool and in the subset."""
    figure = go.Figure()
    shown = [escape(name) + " " for name in names]
    for part, values, colour in (("subset", subset, PALETTE[0]), ("pool", pool, "#8a8f98")):
        figure.add_trace(
            go.Bar(
                y=shown,
                x=values,
                orientation="h",
                name=part,
                marker={"color": colour},
                hovertemplate=f"%{{y}}<br>{part} %{{x:.1%}}<extra></extra>",
            )
        )
    figure.update_layout(barmode="group", bargap=0.3)
    figure.update_xaxes(title="share of rows", tickformat=".0%")
    figure.update_yaxes(showgrid=False, autorange="reversed")
    return to_div(figure, 130 + 34 * len(names))


def histogram(edges: Sequence[float], pool: Sequence[float], subset: Sequence[float], title: str) -> str:
    """Two histograms over the same bins, as shares of each side."""
    figure = go.Figure()
    middle = [(a + b) / 2 for a, b in zip(edges, edges[1:], strict=False)]
    width = [b - a for a, b in zip(edges, edges[1:], strict=False)]
    for part, values, colour in (("pool", pool, "#8a8f98"), ("subset", subset, PALETTE[0])):
        figure.add_trace(
            go.Bar(
                x=middle,
                y=values,
                width=width,
                name=part,
                marker={"color": colour, "opacity": 0.55},
                hovertemplate=f"%{{x:.4g}}<br>{part} %{{y:.1%}}<extra></extra>",
            )
        )
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(title=escape(title), showgrid=False)
    figure.update_yaxes(title="share of rows", tickformat=".0%")
    return to_div(figure, 300)
