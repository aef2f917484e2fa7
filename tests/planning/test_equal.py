"""Ranks at equal rows and at equal compute: a dear method that leads at equal rows falls behind once it is paid for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from thresher.planning.arms import arms
from thresher.planning.equal import at_compute, equal_views
from thresher.planning.frontier import frontier
from thresher.planning.results import Panel, Results, Run

FULL = 1e15


def run(method: str, fraction: float, score: float, selection: float = 0.0) -> Run:
    return Run(method=method, model="m", task="t", metric="accuracy", score=score, selection_flops=selection,
               training_flops=fraction * FULL, fraction=fraction)  # fmt: skip


RUNS = (
    run("random", 0.1, 40.0), run("random", 0.4, 46.0), run("dear", 0.1, 42.0, 3e14), run("dear", 0.4, 48.0, 3e14),
    run("poor", 0.1, 39.0), run("poor", 0.4, 41.0),
)  # fmt: skip
PANEL = Panel("t", "accuracy", "m", "", RUNS)


def view(panel: Panel, size: str) -> dict:
    return next(one for one in equal_views(panel, arms(panel)) if one["size"] == size)


def test_who_leads_with_as_many_rows_falls_behind_with_as_much_compute():
    small = view(PANEL, "10 %")
    assert small["compute"] == pytest.approx(4e14)
    assert [(line["method"], line["rank"], line["rank_at_compute"]) for line in small["lines"]] == [
        ("dear", 1, 2), ("random", 2, 1), ("poor", 3, 3),
    ]  # fmt: skip
    assert small["flips"] == [["dear", "random"]]
    assert [line["score_at_compute"] for line in small["lines"]] == [42.0, 46.0, 41.0]


def test_for_its_compute_random_could_have_had_the_whole_pool():
    whole = replace(PANEL, runs=(*RUNS, run("full", 1.0, 48.5)))
    assert view(whole, "40 %")["flips"] == [], "0.7 of a full run does not pay for the whole pool"
    changed = (replace(r, selection_flops=8e14) if r.method == "dear" else r for r in whole.runs)
    dearer = replace(whole, runs=tuple(changed))
    assert view(dearer, "40 %")["flips"] == [["dear", "random"]]
    assert "100 %" not in {one["size"] for one in equal_views(dearer, arms(dearer))}


def test_between_two_sizes_it_is_linear_in_log_compute():
    line = [arm for arm in arms(PANEL) if arm.method == "random"]
    assert at_compute(line, 2e14) == pytest.approx(43.0)
    assert at_compute(line, 9e15) == 46.0
    assert at_compute(line, 9e13) is None


def test_free_methods_rank_alike_both_ways():
    free = replace(PANEL, runs=tuple(replace(r, selection_flops=0.0) for r in RUNS))
    for one in equal_views(free, arms(free)):
        assert one["flips"] == []
        assert all(line["rank"] == line["rank_at_compute"] for line in one["lines"])


def test_lower_is_better_turns_the_ranks():
    losses = replace(PANEL, metric="loss", runs=tuple(replace(r, metric="loss", score=100 - r.score) for r in RUNS))
    assert view(losses, "10 %")["flips"] == [["dear", "random"]]


def test_a_single_method_has_no_ranks():
    alone = replace(PANEL, runs=tuple(r for r in RUNS if r.method == "dear"))
    assert equal_views(alone, arms(alone)) == []


def test_the_frontier_says_it_in_one_sentence_with_regret_and_a_race():
    said = frontier(Results(RUNS))
    assert said["verdict"]["sentence"].startswith("Was it worth it? Undecided on t")
    (panel,) = said["panels"]
    assert [line["policy"] for line in panel["regret"]][0] == "random"
    assert panel["regret"][-1]["points"] > 0
    assert len(panel["race"]) == 4
    assert len(panel["equal"]) == 2
    seeds = [replace(r, seed=seed, score=r.score + 0.01 * seed) for r in RUNS for seed in range(3)]
    better = [replace(r, score=r.score + 20) if r.method == "dear" else r for r in seeds]
    worse = [replace(r, task="u", score=r.score - 20) if r.method == "dear" else replace(r, task="u") for r in seeds]
    both = frontier(Results((*better, *worse)))
    assert both["verdict"]["worth"]
    assert both["verdict"]["sentence"] == "Was it worth it? Yes, on 1 of 2 measures: dear on t accuracy."
