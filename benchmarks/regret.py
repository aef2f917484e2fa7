"""Regret of the planner on result tables that are already there: each panel is planned from the others alone.

    python benchmarks/regret.py TABLE [TABLE ...] [--budgets 10] [--detail] [--json]

TABLE is a results table of DESIGN section 4 with two panels or more (a panel: task, model and pool). Of the panel that
is planned, the planner is told its prices, its model's size and its pool; no score. Bar: mean regret below that of
every fixed policy, and at most half of always-random's. Exit code 1 where it is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from unittest import mock

from thresher.errors import ThresherError
from thresher.planning import fits, prior, regret, results
from thresher.planning.arms import arms


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--budgets", type=int, default=10, help="per panel, from its cheapest run to its dearest")
    parser.add_argument("--detail", action="store_true", help="every choice")
    parser.add_argument("--sensitivity", action="store_true", help="the same with other constants of the prior")
    parser.add_argument("--forms", action="store_true", help="how often corrected AIC and leave-one-out differ")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        panels = results.read(arguments.tables).panels()
        policies = list(dict.fromkeys(run.method for panel in panels for run in panel.runs if run.training_flops))
        choices = regret.leave_one_out(panels, [name for name in policies if name != "full"], arguments.budgets)
    except ThresherError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    found = regret.summary(choices)
    by_panel = {_name(panel): regret.summary([c for c in choices if c.panel is panel]) for panel in panels}
    met = verdict(found)
    if arguments.json:
        print(json.dumps({
            "met": met, "policies": [asdict(one) for one in found],
            "panels": {name: [asdict(one) for one in some] for name, some in by_panel.items()},
            "choices": [{"panel": _name(c.panel), "budget": c.budget, "method": c.method, "scorer": c.scorer,
                         "fraction": c.fraction, "best": c.best.name, "best_fraction": c.best.fraction,
                         "regret": dict(c.regret)} for c in choices],
        }, indent=1))  # fmt: skip
        return 0 if met else 1
    show(found, by_panel, choices if arguments.detail else [])
    if arguments.sensitivity:
        sensitivity(panels, policies, arguments.budgets)
    if arguments.forms:
        forms(panels)
    print("bar met" if met else "bar MISSED", "(below every fixed policy, at most half of always-random's)")
    return 0 if met else 1


def verdict(found: list[regret.Summary]) -> bool:
    mean = {one.policy: one.points for one in found}
    own = mean.pop(regret.PLANNER)
    return own < min(mean.values()) and own <= mean["always-random"] / 2


def show(found: list, by_panel: dict[str, list], choices: list[regret.Choice]) -> None:
    for c in choices:
        print(f"{_name(c.panel):32} {c.budget:9.3g}  {c.method:8} {100 * c.fraction:5.3g} %   best {c.best.method:8} "
              f"{100 * (c.best.fraction or 0):5.3g} %   regret {c.regret[regret.PLANNER]:.2f}")  # fmt: skip
    names = [one.policy for one in found]
    print(f"{'mean regret, points':32}" + "".join(f"{name:>15}" for name in names))
    for panel, some in by_panel.items():
        points = {one.policy: one.points for one in some}
        print(f"{panel:32}" + "".join(f"{points[name]:15.3f}" for name in names))
    print(f"{'all':32}" + "".join(f"{one.points:15.3f}" for one in found))
    print(f"{'share of (best - random)':32}" + "".join(
        f"{'' if one.share is None else format(one.share, '.2f'):>15}" for one in found))  # fmt: skip


def sensitivity(panels: list, policies: list[str], many: int) -> None:
    """No constant of the prior is fitted; this is what others would have given."""
    print("the planner's mean regret under other constants of the prior (bandwidth in decades, doubt):")
    for bandwidth in (0.25, 0.5, 1.0, 2.0, 5.0):
        for doubt in (0.0, 0.5, 1.0, 2.0):
            with mock.patch.multiple(prior, BANDWIDTH=bandwidth, DOUBT=doubt):
                found = regret.summary(regret.leave_one_out(panels, policies, many))
            own = next(one.points for one in found if one.policy == regret.PLANNER)
            print(f"  {bandwidth:5g} {doubt:5g}   {own:.3f}   {'met' if verdict(found) else 'missed'}")


def forms(panels: list) -> None:
    """The curve's form as each criterion picks it."""
    same = total = 0
    for panel in panels:
        lines: dict[tuple[str, str], list] = {}
        for one in fits.fit_panel(panel, arms(panel), intervals=False):
            lines.setdefault((one.method, one.scorer), []).append(one)
        for some in lines.values():
            if all(one.aicc is not None and one.loo is not None for one in some):
                total += 1
                same += min(some, key=lambda x: x.aicc).form == min(some, key=lambda x: x.loo).form
    print(f"corrected AIC and leave-one-out pick the same form in {same} of {total} curves")


def _name(panel: results.Panel) -> str:
    return f"{panel.task} {panel.model.rsplit('/', 1)[-1]}"


if __name__ == "__main__":
    sys.exit(main())
