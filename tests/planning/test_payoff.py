"""Break-even with its spread: planted tables, and laws."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from thresher.planning.arms import arms
from thresher.planning.frontier import frontier
from thresher.planning.payoff import break_even, size_ratios
from thresher.planning.results import Panel, Results, Run
from thresher.report.payoff import break_even_rows

FULL = 1e18
SEEDS = (0, 1, 2)


def run(method: str, fraction: float, score: float, selection: float = 0.0, seed: int | None = None, task: str = "t"):
    scorer = {"scorer": "s", "scorer_params": 1e9} if selection else {}
    return Run(method=method, model="m", model_params=1e10, task=task, metric="accuracy", score=score, seed=seed,
               fraction=fraction, selection_flops=selection, training_flops=fraction * FULL, **scorer)  # fmt: skip


def table(scatter: float, dear: float, task: str = "t", selection: float = 1e17) -> Panel:
    """Random climbs from 10 to 30; a method that is paid for scores `dear` on 10 % of the rows."""
    runs = []
    for seed in SEEDS:
        off = scatter * (seed - 1)
        runs += [run("random", f, 10 + 20 * i + off, seed=seed, task=task) for i, f in enumerate((0.1, 1.0))]
        runs.append(run("ppl", 0.1, dear - off, selection, seed, task))
    return Panel(task, "accuracy", "m", "", tuple(runs))


def entry(panel: Panel) -> dict:
    (found,) = break_even(panel, arms(panel))
    return found


def test_without_scatter_the_interval_is_the_point():
    """Random reaches 20 at the geometric middle of 10 % and 100 %: r > a / (f_cheap - f) with a = S / C_D * r0."""
    found = entry(table(0.0, 20.0))
    reach = 10**-0.5
    assert found["cheap_fraction"] == pytest.approx(reach)
    assert found["size_ratio_needed"] == pytest.approx(0.1 * 10 / (reach - 0.1))
    assert found["runs"] == pytest.approx(0.1 / (reach - 0.1))
    for name in ("runs", "cheap_fraction", "size_ratio_needed"):
        assert found["interval"][name] == pytest.approx([found[name]] * 2)
    assert found["interval"]["never"] == 0


def test_more_scatter_is_a_wider_interval_that_holds_the_point():
    narrow, wide = (entry(table(scatter, 20.0))["interval"] for scatter in (0.3, 1.0))
    at = entry(table(1.0, 20.0))["size_ratio_needed"]
    assert wide["size_ratio_needed"][0] < narrow["size_ratio_needed"][0] < at
    assert at < narrow["size_ratio_needed"][1] < wide["size_ratio_needed"][1]


def test_never_is_larger_than_every_number():
    found = entry(table(3.0, 10.5))
    assert found["interval"]["never"] > 0.1
    assert found["interval"]["runs"][1] is None
    assert entry(table(0.0, 9.0))["runs"] is None


def test_nobody_knows_a_scatter_nobody_recorded():
    runs = tuple(one for one in table(0.0, 20.0).runs if one.seed == 0)
    assert entry(Panel("t", "accuracy", "m", "", runs))["interval"] is None


def test_the_ratio_of_a_method_is_spread_over_targets():
    panels = [table(0.1, score, task) for task, score in (("a", 15.0), ("b", 20.0), ("c", 9.0))]
    said = frontier(Results(tuple(one for panel in panels for one in panel.runs)))
    (ratio,) = said["size_ratios"]
    needed = sorted(p["break_even"][0]["size_ratio_needed"] or 1e99 for p in said["panels"])
    assert ratio["median"] == pytest.approx(needed[1])
    assert (ratio["never"], ratio["arms"], ratio["targets"], ratio["over"]) == (1, 3, 3, "targets")
    assert ratio["low"] == pytest.approx(needed[0])
    assert ratio["high"] is None
    assert "never" in ratio["sentence"]
    assert "tried at 10" in ratio["sentence"]
    json.dumps(said, allow_nan=False)


def test_one_run_has_no_spread_and_nothing_paid_has_no_ratio():
    (alone,) = size_ratios([{"break_even": break_even(table(0.0, 20.0), arms(table(0.0, 20.0)))}])
    assert (alone["over"], alone["low"], alone["high"]) == ("", None, None)
    assert "95 %" not in alone["sentence"]
    assert size_ratios([{"break_even": []}]) == []


def test_what_no_cheap_run_reached_is_a_bound_not_a_win():
    """Random was run on 10 and 30 %, and never scored 40: it needs more than 30 %, nobody knows how much."""
    runs = tuple(replace(one, fraction=0.3, training_flops=0.3 * FULL) if one.fraction == 1.0 else one
                 for one in table(0.1, 40.0).runs)  # fmt: skip
    more = run("other", 1.0, 5.0, 1e17)  # the whole pool's training is known
    (found, _) = break_even(panel := Panel("t", "accuracy", "m", "", (*runs, more)), arms(panel))
    assert found["beyond"]
    assert found["cheap_fraction"] is None
    assert found["runs"] == pytest.approx(0.1 / (0.3 - 0.1), rel=0.01)
    assert found["size_ratio_needed"] == pytest.approx(0.1 * 10 / (0.3 - 0.1), rel=0.01)
    assert found["interval"] is None
    assert break_even_rows([found])[0][3].startswith("at most")
    small = tuple(one for one in panel.runs if one.fraction != 0.3)
    (found, _) = break_even(panel := Panel("t", "accuracy", "m", "", small), arms(panel))
    assert (found["beyond"], found["runs"], found["size_ratio_needed"]) == (True, None, None)
    assert break_even_rows([found])[0][3] == "not measured"
    assert size_ratios([{"break_even": [found]}]) == []
