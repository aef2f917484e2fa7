"""Arms of a results table against one of them: mean over tasks of the loss, its lead with the noise of seeds, Holm's p.

    python benchmarks/leads.py [docs/results/two_stage.csv] [--against no-warm-up]

A lead is positive where the arm's loss is lower; seeds are paired, the interval is t's at 95%. An arm is held against
the other's line of the same budget, or against its only line where it has no budgets.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from pathlib import Path

from scipy.special import stdtr, stdtrit

from thresher.planning.bootstrap import holm

TABLE = Path(__file__).resolve().parents[1] / "docs" / "results" / "two_stage.csv"
Arms = dict[tuple[str, str], dict[int, float]]  # (method, budget): seed: mean loss


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path, default=TABLE)
    parser.add_argument("--against", default="no-warm-up")
    told = parser.parse_args()
    arms = read(told.table)
    found = []
    for (method, budget), mine in arms.items():
        other = arms.get((told.against, budget)) or arms.get((told.against, "")) or {}
        leads = [other[seed] - mine[seed] for seed in sorted(mine.keys() & other.keys())]
        if method != told.against and len(leads) > 1:
            found.append((method, budget, statistics.fmean(mine.values()), *interval(leads)))
    for one, together in zip(found, holm([one[-1] for one in found]), strict=True):
        method, budget, loss, lead, half, p = one
        print(f"{method:24}{budget:12}{loss:7.3f}  {lead:+.3f} [{lead - half:+.3f}, {lead + half:+.3f}]  p {p:.4f}, "
              f"of all together {together:.3f}")  # fmt: skip


def read(path: Path) -> Arms:
    """Mean loss over tasks of every arm and seed."""
    losses: dict[tuple[str, str], dict[int, list[float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["metric"] == "loss" and line["seed"]:
                arm = losses.setdefault((line["method"], line["budget"]), {})
                arm.setdefault(int(line["seed"]), []).append(float(line["score"]))
    return {arm: {seed: statistics.fmean(of) for seed, of in seeds.items()} for arm, seeds in losses.items()}


def interval(leads: list[float]) -> tuple[float, float, float]:
    """(mean, half the interval, two-sided p)."""
    freedom = len(leads) - 1
    mean, error = statistics.fmean(leads), statistics.stdev(leads) / len(leads) ** 0.5
    return mean, float(stdtrit(freedom, 0.975)) * error, 2 * float(stdtr(freedom, -abs(mean) / error)) if error else 1.0


if __name__ == "__main__":
    main()
