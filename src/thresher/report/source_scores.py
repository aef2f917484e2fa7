"""How a score spreads in every source: boxes, so that a page stays small. Text from the data is escaped here."""

from __future__ import annotations

from html import escape

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from thresher.report.figures import PALETTE, to_div

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def boxes(score: Float[np.ndarray, " n"], group: np.ndarray, *, most: int) -> str:
    """Quantiles of the score by source, lowest median first; the sources beyond the largest `most` are left out."""
    known = np.isfinite(score)
    score, group = score[known], group[known].astype(str)
    names, counts = np.unique(group, return_counts=True)
    names = names[np.argsort(-counts, kind="stable")][:most]
    levels = {name: np.quantile(score[group == name], LEVELS) for name in names}
    order = sorted(names, key=lambda name: float(levels[name][2]))
    figure = go.Figure()
    for name in order:
        low, first, middle, third, high = (float(v) for v in levels[name])
        figure.add_trace(
            go.Box(
                y=[escape(str(name)) + " "], orientation="h", lowerfence=[low], q1=[first], median=[middle], q3=[third],
                upperfence=[high], name=escape(str(name)), showlegend=False, marker={"color": PALETTE[0]},
                line={"width": 1.4},
            )
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": "rgba(128,136,150,0.5)", "dash": "dot", "width": 1.4})
    figure.update_xaxes(title="score: 5, 25, 50, 75 and 95 % of each source's rows")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return to_div(figure, 120 + 30 * len(order))
