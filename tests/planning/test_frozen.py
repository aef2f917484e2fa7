"""A race on a finished table: its bill against the grid's, and its regret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from thresher.planning.frozen import economy, grid, replay
from thresher.planning.results import Panel, Run

FRACTIONS = (0.025, 0.05, 0.1, 0.25)
GAIN = {"random": 0.0, "bm25": 1.0, "ppl": 4.0, "longest": -3.0}
SELECTION = {"ppl": 2e15}
FULL = 1e16


def runs() -> Iterator[Run]:
    for seed in range(3):
        for method, gain in GAIN.items():
            for rung, fraction in enumerate(FRACTIONS):
                yield Run(
                    method=method, model="m", task="t", metric="accuracy", score=40 + gain + 2 * rung + 0.1 * seed,
                    selection_flops=SELECTION.get(method, 0.0), training_flops=fraction * FULL, fraction=fraction,
                    seed=seed,
                )  # fmt: skip


PANEL = Panel("t", "accuracy", "m", "", tuple(runs()))


def test_the_grids_price_is_every_run_and_every_choosing_once():
    found = grid(PANEL)
    assert found is not None
    assert found.price == pytest.approx(3 * 4 * sum(FRACTIONS) * FULL + 2e15)
    assert found.sizes == ("2.5 %", "5 %", "10 %", "25 %")


def test_the_race_finds_the_best_for_less_and_its_bill_is_within_the_budget():
    lines = economy(PANEL, (0.05, 0.25, 0.5, 1.0))
    assert "first round" in lines[0]["problem"], "choosing with ppl is a 27th of the grid"
    for line in lines[1:]:
        assert line["spent"] <= line["budget"] * (1 + 1e-12)
        assert line["saved"] == pytest.approx(1 - line["spent"] / line["grid"])
        assert line["runs"] < line["of_runs"] == 48
    last = lines[-1]
    assert (last["winner"], last["regret"]) == ("ppl at 25 %", 0.0)
    assert last["random"] == pytest.approx(4.0)
    assert last["saved"] > 0.3


def test_regret_is_what_the_winner_lacks():
    turned = [
        replace(run, score=60.0 + 0.1 * run.seed) if run.method == "longest" and run.fraction == 0.25 else run
        for run in PANEL.runs
    ]  # a loser at small sizes that is the best at the largest
    line = economy(replace(PANEL, runs=tuple(turned)))[-1]
    assert line["best"] == "longest at 25 %"
    assert line["winner"] == "ppl at 25 %"
    assert line["regret"] == pytest.approx(60.0 - 50.0)
    assert line["random"] == pytest.approx(60.0 - 46.0)


def test_no_race_is_held_against_what_its_budget_could_not_buy():
    whole = Run(method="full", model="m", task="t", metric="accuracy", score=90.0, selection_flops=0.0,
                training_flops=FULL, fraction=1.0)  # fmt: skip
    panel = replace(PANEL, runs=(*(r for r in PANEL.runs if r.seed == 0), replace(whole, seed=0)))
    poor, rich = economy(panel, (0.3, 1.0))
    assert poor["budget"] < FULL < rich["budget"]
    assert poor["best"] == "ppl at 25 %"
    assert (rich["best"], rich["winner"], rich["random"]) == ("full at the whole pool",) * 2 + (0.0,)


def test_the_whole_pool_is_one_run_whoever_names_it():
    def at_full(method: str, selection: float) -> list[Run]:
        return [
            Run(method=method, model="m", task="t", metric="accuracy", score=49.0, selection_flops=selection,
                training_flops=FULL, fraction=1.0, seed=seed)
            for seed in range(3)
        ]  # fmt: skip

    panel = replace(PANEL, runs=(*PANEL.runs, *at_full("random", 0.0), *at_full("bm25", 0.0), *at_full("ppl", 2e15)))
    found, before = grid(panel), grid(PANEL)
    assert found is not None
    assert before is not None
    assert found.price == pytest.approx(before.price + 3 * FULL)
    assert [one.name for one in found.contenders].count("full") == 1


def test_a_table_of_one_method_has_no_race():
    one = replace(PANEL, runs=tuple(run for run in PANEL.runs if run.method == "bm25"))
    assert grid(one) is None
    assert economy(one) == []


def test_a_table_without_seeds_is_raced_once():
    panel = replace(PANEL, runs=tuple(replace(run, seed=None) for run in PANEL.runs if run.seed == 0))
    found = grid(panel)
    assert found is not None
    course = replay(found, found.price)
    assert all(one.kind == "climb" for one in course.rounds)
    assert course.finalists[0] == ("ppl", 3)
