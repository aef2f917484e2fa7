"""The same experiment on several machines: each arm's lead at every budget in every round, and which came again.

    python benchmarks/rounds.py docs/results/standing.csv docs/results/standing_epyc.csv

A row of a Markdown table for each arm and task of two rounds or more, over random rows of as many tokens (--against).
`all` marks a lead of one sign in every round and budget; `to` is the largest difference of two rounds at one budget.
Rounds share pool rows, seeds and test rows; no p is computed over them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from leads import Arms, each_task, leads, losses


def main() -> None:
    """Read, put beside each other, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--against", default="random")
    parser.add_argument("--task", action="append", help="these alone")
    parser.add_argument("--all", action="store_true", help="only arms whose lead has one sign everywhere")
    told = parser.parse_args()
    rounds = [each_task(losses(path)) for path in told.tables]
    tasks = dict.fromkeys(task for one in rounds for task in one)
    print(f"| task | method | {' | '.join(path.stem for path in told.tables)} | all | to |")
    print("|" + "---|" * (len(rounds) + 4))
    for task in told.task or tasks:
        found = [_by_method(one.get(task, {}), told.against) for one in rounds]
        for method in dict.fromkeys(method for one in found for method in one):
            of = [one.get(method, {}) for one in found]
            if sum(map(bool, of)) > 1:
                line(task, method, of, only_all=told.all)


def line(task: str, method: str, of: list[dict[str, float]], *, only_all: bool) -> None:
    """One arm."""
    every = [lead for one in of for lead in one.values()]
    same = all(lead > 0 for lead in every) or all(lead < 0 for lead in every)
    budgets = set().union(*of)
    apart = max(_range([one[b] for one in of if b in one]) for b in budgets)
    if same or not only_all:
        cells = [", ".join(f"{lead:+.3f}" for lead in one.values()) for one in of]
        print(f"| {task} | {method} | {' | '.join(cells)} | {'all' if same else ''} | {apart:.3f} |")


def _range(values: list[float]) -> float:
    return max(values) - min(values)


def _by_method(arms: Arms, against: str) -> dict[str, dict[str, float]]:
    """{method: {budget: lead}}."""
    out: dict[str, dict[str, float]] = {}
    for (method, budget), lead in leads(arms, against).items():
        out.setdefault(method, {})[budget] = lead.mean
    return out


if __name__ == "__main__":
    main()
