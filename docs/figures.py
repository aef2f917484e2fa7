"""Draw the figures of docs/evidence.md from the tables in docs/results (`make figures`).

One picture a table: a line a method, a column a task; filled, the lead over random rows of as many tokens at the
largest budget; hollow, over random rows for the same total FLOPs, choosing included, where random was run that far.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "thresher"  # the same table, the same bytes
import matplotlib.pyplot as plt  # noqa: E402  (the backend first)

from thresher import methods  # noqa: E402
from thresher.planning import results as tables  # noqa: E402
from thresher.planning.arms import Arm, arms  # noqa: E402
from thresher.planning.beside import against_random  # noqa: E402
from thresher.planning.difference import Difference, difference  # noqa: E402

HERE = Path(__file__).parent
TABLES = {"standing": "33M, healed on other rows"}
COLOUR = {"reads with no model": "#2a9d72", "an encoder": "#2f6fde", "a small scorer": "#e0653a"}


def main() -> None:
    """Every table that is there."""
    for name, about in TABLES.items():
        path = HERE / "results" / f"{name}.csv"
        if path.exists():
            draw(tables.read(path).panels(), about, HERE / "figures" / f"{name}.svg")


def draw(panels: list[Any], about: str, out: Path) -> None:
    """One picture of all panels of a table."""
    found = {panel.task: leads(panel) for panel in panels}
    order = sorted({name for one in found.values() for name in one}, key=lambda name: (_kind(name), name))
    place = {name: -i for i, name in enumerate(order)}
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.1 * len(panels) + 1.6, 0.21 * len(order) + 1.5), sharey=True, squeeze=False
    )
    for axis, (task, lines) in zip(axes[0], found.items(), strict=True):
        axis.axvline(0, color="#8a8f98", linewidth=1)
        for name, (rows, compute) in lines.items():
            _dot(axis, rows, place[name] + 0.12, COLOUR[_kind(name)], filled=True)
            if compute is not None:
                _dot(axis, compute, place[name] - 0.18, COLOUR[_kind(name)], filled=False)
        axis.set_title(task, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_xlabel("lead over random, nats", fontsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        axis.grid(axis="y", color="#e6e8ec", linewidth=0.6)
        axis.set_axisbelow(True)
    axes[0][0].set_yticks(list(place.values()), list(place), fontsize=8)
    handles = [plt.Line2D([], [], marker="o", linestyle="", color=c, label=k) for k, c in COLOUR.items()]
    handles += [
        plt.Line2D([], [], marker="o", linestyle="", color="#5b6270", label="at equal tokens"),
        plt.Line2D([], [], marker="o", linestyle="", color="#5b6270", markerfacecolor="white",
                   label="at equal total FLOPs"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="upper center", ncol=5, fontsize=8, frameon=False)
    figure.text(0.005, 0.005, f"{about}; bars: 95 % over paired seeds, each on its own", fontsize=7, color="#5b6270")
    figure.tight_layout(rect=(0, 0.015, 1, 1 - 0.28 / figure.get_figheight()))
    out.parent.mkdir(exist_ok=True)
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


def leads(panel: Any) -> dict[str, tuple[Difference, Difference | None]]:  # noqa: ANN401
    """By method at the largest budget it has: over random of the same budget, and of the same total FLOPs."""
    found = [arm for arm in arms(panel) if not arm.untrained]
    random = {arm.runs[0].budget: arm for arm in found if arm.method == "random"}
    last: dict[str, Arm] = {}
    for arm in found:  # sizes rise within a method
        if arm.method != "random" and arm.runs[0].budget in random:
            last[arm.name.split(" (")[0]] = arm
    lines = {}
    for name, arm in last.items():
        beside = against_random(arm, found, higher=panel.higher)
        compute = beside.lead if beside is not None and beside.share is None else None
        lines[name] = (difference(arm, random[arm.runs[0].budget], higher=panel.higher), compute)
    return lines


def _dot(axis: Any, lead: Difference, y: float, colour: str, *, filled: bool) -> None:  # noqa: ANN401
    half = 0.0 if lead.high is None else lead.high - lead.mean
    axis.errorbar(lead.mean, y, xerr=half, fmt="o", markersize=4, color=colour, elinewidth=0.8,
                  markerfacecolor=colour if filled else "white", markeredgewidth=0.9)  # fmt: skip


def _kind(name: str) -> str:
    method = name.split(",")[0]
    needs = methods.get(method).needs
    return "a small scorer" if "scorer" in needs else "an encoder" if "encoder" in needs else "reads with no model"


if __name__ == "__main__":
    main()
