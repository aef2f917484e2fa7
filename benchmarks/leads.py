"""Arms of a results table against one of them: loss, its lead with the noise of seeds, Holm's p.

    python benchmarks/leads.py [docs/results/two_stage.csv] [--against no-warm-up]
    python benchmarks/leads.py docs/results/standing.csv --against random --by-task --budget "4k tokens"

The loss is the mean over tasks; with --by-task each task is a column of a table in Markdown, for one budget.
A lead is positive where the arm's loss is lower; seeds are paired, the interval is t's at 95%. An arm is held against
the other's line of the same budget, or against its only line where it has no budgets. p is Holm's, for all arms and
budgets of a task (or of the mean) together; below 0.05 a cell is bold, for better or worse.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from dataclasses import dataclass
from pathlib import Path

from scipy.special import stdtr, stdtrit

from thresher.planning.bootstrap import holm

TABLE = Path(__file__).resolve().parents[1] / "docs" / "results" / "two_stage.csv"
Arms = dict[tuple[str, str], dict[int, float]]  # (method, budget): seed: mean loss


@dataclass(frozen=True)
class Lead:
    """Of one arm."""

    loss: float
    mean: float
    half: float
    p: float
    together: float


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path, default=TABLE)
    parser.add_argument("--against", default="no-warm-up")
    parser.add_argument("--by-task", action="store_true")
    parser.add_argument("--budget", help="with --by-task: the lines of this one")
    told = parser.parse_args()
    lines = losses(told.table)
    if told.by_task:
        by_task(lines, told.against, told.budget)
        return
    for (method, budget), one in leads(read(lines), told.against).items():
        print(f"{method:24}{budget:12}{one.loss:7.3f}  {one.mean:+.3f} [{one.mean - one.half:+.3f}, "
              f"{one.mean + one.half:+.3f}]  p {one.p:.4f}, of all together {one.together:.3f}")  # fmt: skip


def by_task(lines: list[dict[str, str]], against: str, budget: str) -> None:
    """A row a method, a column a task."""
    of = each_task(lines)
    tasks = list(of)
    found = {task: leads(arms, against) for task, arms in of.items()}
    untrained = {task: min(float(o["score"]) for o in lines if o["task"] == task and not o["seed"]) for task in tasks}
    print(f"| method, {budget} | {' | '.join(f'{task}: loss, lead, p' for task in tasks)} |")
    print("|" + "---|" * (len(tasks) + 1))
    print(f"| untrained, better prompt | {' | '.join(f'{untrained[task]:.3f}' for task in tasks)} |")
    control = [statistics.fmean(of[task][against, budget].values()) for task in tasks]
    print(f"| {against} | {' | '.join(f'{loss:.3f}' for loss in control)} |")
    for method in dict.fromkeys(method for arms in found.values() for method, of_budget in arms if of_budget == budget):
        cells = [found[task].get((method, budget)) for task in tasks]
        print(f"| {method} | {' | '.join('' if one is None else _cell(one) for one in cells)} |")


def _cell(one: Lead) -> str:
    text = f"{one.loss:.3f}, {one.mean:+.3f}, {one.together:.2g}"
    return f"**{text}**" if one.together < 0.05 else text


def losses(table: Path) -> list[dict[str, str]]:
    """Its lines that are a loss."""
    with table.open(encoding="utf-8", newline="") as file:
        return [line for line in csv.DictReader(file) if line["metric"] == "loss"]


def each_task(lines: list[dict[str, str]]) -> dict[str, Arms]:
    """{task: arms}"""
    tasks = dict.fromkeys(line["task"] for line in lines)
    return {task: read([line for line in lines if line["task"] == task]) for task in tasks}


def read(lines: list[dict[str, str]]) -> Arms:
    """Mean loss over tasks of every arm and seed."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for line in lines:
        if line["seed"]:
            arm = found.setdefault((line["method"], line["budget"]), {})
            arm.setdefault(int(line["seed"]), []).append(float(line["score"]))
    return {arm: {seed: statistics.fmean(of) for seed, of in seeds.items()} for arm, seeds in found.items()}


def leads(arms: Arms, against: str) -> dict[tuple[str, str], Lead]:
    """Of every arm that shares two seeds with the other."""
    found = {}
    for (method, budget), mine in arms.items():
        other = arms.get((against, budget)) or arms.get((against, "")) or {}
        each = [other[seed] - mine[seed] for seed in sorted(mine.keys() & other.keys())]
        if method != against and len(each) > 1:
            found[method, budget] = (statistics.fmean(mine.values()), *interval(each))
    together = holm([one[-1] for one in found.values()])
    return {arm: Lead(*one, p) for (arm, one), p in zip(found.items(), together, strict=True)}


def interval(each: list[float]) -> tuple[float, float, float]:
    """(mean, half the interval, two-sided p)."""
    freedom = len(each) - 1
    mean, error = statistics.fmean(each), statistics.stdev(each) / len(each) ** 0.5
    return mean, float(stdtrit(freedom, 0.975)) * error, 2 * float(stdtr(freedom, -abs(mean) / error)) if error else 1.0


if __name__ == "__main__":
    main()
