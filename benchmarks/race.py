"""Races on finished tables: what `thresher run --race` would have spent of the full grid, and its regret.

    python benchmarks/race.py                          docs/results/math_small.csv, and the published grids
    python benchmarks/race.py TABLE ... --keep 0.7     any results table

The published grids are read where they rest beside the repository (../shared/data/published), and left out where
they do not. Their points are means over seeds, so they are raced without seeds.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from thresher.planning import results
from thresher.planning.frozen import SHARES, economy

ROOT = Path(__file__).resolve().parents[1]
TABLES = (ROOT / "docs" / "results" / "math_small.csv", ROOT.parent / "shared" / "data" / "published" / "ccds.csv")


def main() -> None:
    """Print a line for each panel and budget, and means for each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*")
    parser.add_argument("--keep", type=float, default=0.5)
    told = parser.parse_args()
    tables = told.tables or [path for path in TABLES if path.exists()]
    panels = [panel for path in tables for panel in results.read(path).panels()]
    seen: dict[float, list[dict]] = {share: [] for share in SHARES}
    for panel in panels:
        print(f"{panel.task} {panel.metric}, {panel.model} {panel.pool}".rstrip())
        for one in economy(panel, keep=told.keep):
            print(f"  {_line(one)}")
            if "problem" not in one:
                seen[one["share"]].append(one)
    for share, some in seen.items():
        if some:
            worse = sum(one["regret"] > one["random"] for one in some if one["random"] is not None)
            print(
                f"budget {share:4.0%} of the grid: {len(some)} panels, spent {_mean(some, 'spent', 'grid'):.1%}, "
                f"best arm found in {sum(one['regret'] == 0 for one in some)}, behind random for all of it in {worse}"
            )


def _mean(some: list[dict], part: str, whole: str) -> float:
    return statistics.fmean(one[part] / one[whole] for one in some)


def _line(one: dict) -> str:
    if "problem" in one:
        return f"{one['share']:4.0%}  below the price of the first round"
    beside = "" if one["random"] is None else f" (random rows for all the money: {one['random']:.3g})"
    return (
        f"{one['share']:4.0%}  spent {one['spent'] / one['grid']:5.1%}, {one['runs']:2} of {one['of_runs']} runs; "
        f"winner {one['winner']} {one['score']:.4g}, best {one['best']} {one['best_score']:.4g}, "
        f"regret {one['regret']:.3g}{beside}"
    )


if __name__ == "__main__":
    main()
