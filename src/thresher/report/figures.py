"""Score against compute, drawn by plotly: every text that comes from the data is escaped here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from thresher.report import tables

_FIXED = {"random": "#8a8f98", "random:balanced": "#b5a48b", "full": "#5b6270", "zero-shot": "#9aa0aa"}
PALETTE = (
    "#2f6fde",
    "#e0653a",
    "#2a9d72",
    "#8c5bd6",
    "#d13f73",
    "#c99a1b",
    "#2497b8",
    "#7a8f2a",
    "#a8623c",
    "#4f5bd5",
)
_QUIET = "rgba(128,136,150,0.22)"
_INK = "#7d8594"  # readable on white and on black; the page's script sets the better one


def library() -> str:
    """plotly.js itself, to stand in the page once."""
    return get_plotlyjs()


def colours(methods: Sequence[str]) -> dict[str, str]:
    """One colour per method: the controls are grey, the others follow the palette in the order given."""
    others = [name for name in dict.fromkeys(methods) if name not in _FIXED]
    return _FIXED | {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(others)}


def score_against_compute(panel: Mapping, runs: Sequence[Mapping], colour: Mapping[str, str]) -> str:
    """Arms with error bars, single runs behind them, the Pareto set as a step.

    Where every subset was trained for as many steps, the axis is rows: fewer rows were no cheaper.
    """
    figure = go.Figure()
    axis = panel.get("axis", "total_flops")
    costs = [arm[axis] for arm in panel["arms"] if arm["total_flops"] > 0 and arm[axis]]
    left, right = (min(costs) / 1.7, max(costs) * 1.7) if costs else (1.0, 10.0)
    _frontier(figure, panel, left, right)
    _curves(figure, panel, colour)
    lines: dict[tuple[str, str], list[Mapping]] = {}
    for arm in panel["arms"]:
        lines.setdefault((arm["method"], tables.label(arm)), []).append(arm)
    for (method, name), arms in lines.items():
        trained = [arm for arm in arms if arm["total_flops"] > 0]
        if trained:
            _single_runs(figure, trained, runs, colour[method], axis)
            figure.add_trace(_arms(trained, method, name, colour[method], axis))
    low, high = _reach(panel["arms"])
    for arm in (arm for arm in panel["arms"] if arm["total_flops"] == 0):
        _untrained(figure, arm, low, high, colour[arm["method"]])
    metric = escape(panel["metric"]) or "score"
    better = "" if panel.get("higher_is_better", True) else " (lower is better)"
    ticks = _ticks(left, right)
    figure.update_xaxes(
        type="log",
        title="total FLOPs: selection + training" if axis == "total_flops" else "rows, all trained for as many steps",
        tickvals=ticks,
        ticktext=[f"{tick:.0e}".replace("e+", "e") if axis == "total_flops" else f"{tick:g}" for tick in ticks],
        range=[math.log10(left), math.log10(right)],
    )
    figure.update_yaxes(title=metric + better, range=[low, high])
    return to_div(figure, 460)


def _ticks(left: float, right: float) -> list[float]:
    """1, 2, 5 times powers of ten where that is few enough, else the powers alone."""
    steps = (1, 2, 5) if right / left < 2000 else (1,)
    powers = range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1)
    return [step * 10.0**power for power in powers for step in steps if left <= step * 10.0**power <= right]


def _reach(arms: Sequence[Mapping]) -> tuple[float, float]:
    """The y axis: every trained arm, and the untrained ones unless so far off that they flatten the rest."""
    trained = [arm for arm in arms if arm["total_flops"] > 0] or arms
    low = min(arm["score"] - 2 * (arm["se"] or 0) for arm in trained)
    high = max(arm["score"] + 2 * (arm["se"] or 0) for arm in trained)
    span = (high - low) or abs(high) * 0.1 or 1.0
    for arm in arms:
        if low - 0.9 * span <= arm["score"] <= high + 0.9 * span:
            low, high = min(low, arm["score"]), max(high, arm["score"])
    return low - 0.08 * (high - low or span), high + 0.08 * (high - low or span)


def _untrained(figure: go.Figure, arm: Mapping, low: float, high: float, colour: str) -> None:
    """A line across, for it has no place on a logarithmic axis of cost; a note where it is off the scale."""
    note = f"{escape(tables.label(arm))}  {tables.score(arm['score'], arm['se'])}"
    if low <= arm["score"] <= high:
        figure.add_hline(
            y=arm["score"],
            line={"color": colour, "dash": "dot", "width": 1.5},
            annotation={"text": note, "font": {"size": 12}},
        )
        return
    above = arm["score"] > high
    figure.add_annotation(
        xref="paper",
        yref="paper",
        x=0.99,
        y=0.99 if above else 0.01,
        showarrow=False,
        text=f"{note}, off the scale {'↑' if above else '↓'}",
        font={"size": 12},
    )


def _frontier(figure: go.Figure, panel: Mapping, left: float, right: float) -> None:
    points = panel["pareto"]
    if not points:
        return
    x = [max(point[panel.get("axis", "total_flops")] or 0, left) for point in points]
    y = [point["score"] for point in points]
    figure.add_trace(
        go.Scatter(
            x=[*x, right],
            y=[*y, y[-1]],
            mode="lines",
            name="frontier",
            hoverinfo="skip",
            line={"shape": "hv", "color": "rgba(128,136,150,0.55)", "width": 7},
        )
    )


def _curves(figure: go.Figure, panel: Mapping, colour: Mapping[str, str]) -> None:
    for fit in panel.get("fits", []):
        line = fit.get("line") or []
        if fit.get("chosen") and fit.get("points", 0) >= 4 and line:
            _band(figure, fit.get("band") or (), colour[fit["method"]])
            figure.add_trace(
                go.Scatter(
                    x=[c for c, _ in line],
                    y=[s for _, s in line],
                    mode="lines",
                    showlegend=False,
                    hoverinfo="skip",
                    line={"color": colour[fit["method"]], "width": 1.2, "dash": "dash"},
                )
            )


def _band(figure: go.Figure, band: Sequence[Sequence[float]], colour: str) -> None:
    """The 95 % interval around a curve, where it is finite."""
    if not band:
        return
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    x = [point[0] for point in band]
    figure.add_trace(
        go.Scatter(
            x=[*x, *x[::-1]],
            y=[*(point[2] for point in band), *(point[1] for point in reversed(band))],
            mode="lines",
            fill="toself",
            fillcolor=f"rgba({red},{green},{blue},0.08)",
            line={"width": 0},
            showlegend=False,
            hoverinfo="skip",
        )
    )


def _single_runs(
    figure: go.Figure, arms: Sequence[Mapping], runs: Sequence[Mapping], colour: str, axis: str
) -> None:
    """Faint dots: every run of an arm that has several."""
    several = {arm["method"] for arm in arms if arm["runs"] > 1}
    mine = [
        r for r in runs if r["method"] in several and (r.get("scorer") or "") == (arms[0]["scorer"] or "")
    ]
    if mine:
        x = [
            run["selection_flops"] + run["training_flops"] if axis == "total_flops" else run["rows"] for run in mine
        ]
        hover = [
            f"{escape(str(r['method']))}, seed {r.get('seed')}<br>score {tables.number(r['score'])}"
            for r in mine
        ]
        figure.add_trace(
            go.Scatter(
                x=x,
                y=[run["score"] for run in mine],
                mode="markers",
                showlegend=False,
                text=hover,
                hovertemplate="%{text}<extra></extra>",
                marker={"color": colour, "size": 5, "opacity": 0.35},
            )
        )


def _arms(arms: Sequence[Mapping], method: str, name: str, colour: str, axis: str) -> go.Scatter:
    error = {"type": "data", "array": [arm["se"] or 0 for arm in arms], "thickness": 1.4, "width": 4}
    shape = {"random": "diamond", "full": "square"}.get(method, "circle")
    edge = [1.5 if arm["verdict"] == "on the frontier" else 0 for arm in arms]
    return go.Scatter(
        x=[arm[axis] for arm in arms],
        y=[arm["score"] for arm in arms],
        mode="lines+markers",
        name=escape(name),
        error_y=error,
        text=[_hover(arm) for arm in arms],
        hovertemplate="%{text}<extra></extra>",
        line={"width": 1.2, "color": colour},
        marker={
            "size": 11,
            "symbol": shape,
            "color": colour,
            "line": {"width": edge, "color": "rgba(40,44,52,0.9)"},
        },
    )


def _hover(arm: Mapping) -> str:
    seeds = ", ".join(str(seed) for seed in arm["seeds"]) or "not recorded"
    return "<br>".join(
        [
            f"<b>{escape(arm['method'])}</b> {escape(tables.size(arm))}",
            f"score {tables.score(arm['score'], arm['se'])} ({escape(arm['verdict'])})",
            f"scorer {escape(arm['scorer'] or 'none')}",
            f"rows {tables.count(arm['rows'])}, seeds {seeds}",
            f"selection {tables.flops(arm['selection_flops'])} FLOPs",
            f"training {tables.flops(arm['training_flops'])} FLOPs",
            f"total {tables.flops(arm['total_flops'])} FLOPs",
        ]
    )


def to_div(figure: go.Figure, height: int, *, top: int = 40) -> str:
    """The figure as a piece of the page; the library stands in the page once. Titles of panels need room at its top."""
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 16, "t": top, "b": 56},
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        hoverlabel={"align": "left"},
        legend_orientation="h",
        legend_y=1.02 if top <= 40 else 1 + 26 / (height - top - 56),
        legend_yanchor="bottom",
        legend_x=0,
    )
    figure.update_xaxes(gridcolor=_QUIET, zeroline=False, automargin=True, linecolor=_QUIET)
    figure.update_yaxes(gridcolor=_QUIET, zeroline=False, automargin=True, linecolor=_QUIET)
    return figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        include_mathjax=False,
        config={"displaylogo": False, "responsive": True, "displayModeBar": False},
    )


def numbered(page: str) -> str:
    """With the figures' names counted, not drawn at random: the same folder gives the same page."""
    names = dict.fromkeys(re.findall(r'<div id="([0-9a-f-]{36})" class="plotly-graph-div"', page))
    for number, name in enumerate(names, start=1):
        page = page.replace(name, f"figure-{number}")
    return page
