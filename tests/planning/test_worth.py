"""What random rows were not run for is not measured, and no lead over less of them is called worth it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from thresher.planning.frontier import frontier
from thresher.planning.results import Results, Run


def run(method: str, score: float, total: float, seed: int, fraction: float) -> Run:
    paid = 0.0 if method in ("random", "full") else total / 2
    return Run(method=method, model="m", task="t", metric="accuracy", score=score, seed=seed, fraction=fraction,
               selection_flops=paid, training_flops=total - paid)  # fmt: skip


def said(*arms: tuple[str, float, float], share: float = 0.1) -> dict:
    runs = [
        run(m, s + seed + 0.01 * (m == "dear") * seed, c, seed, min(share * c / 1e15, 1.0))
        for m, s, c in arms for seed in range(3)
    ]  # fmt: skip
    found = frontier(Results(tuple(runs)))
    json.dumps(found, allow_nan=False)
    return {**found["panels"][0], "overall": found["verdict"]["sentence"]}


def lead(panel: dict, method: str) -> dict:
    return next(arm["against_random"] for arm in panel["arms"] if arm["method"] == method)


def test_an_arm_that_spent_five_times_the_dearest_random_run_is_undecided():
    panel = said(("random", 50, 1e15), ("dear", 60, 5e15))
    assert lead(panel, "dear")["random_reaches"] == pytest.approx(0.2)
    assert lead(panel, "dear")["p_holm"] is None
    assert not panel["verdict"]["worth"]
    undecided = "Was it worth it? Undecided on t: one arm spent more compute than any random run"
    assert panel["overall"].startswith(undecided)
    assert "for 5 times its compute" in panel["overall"]


def test_run_as_far_the_same_arm_is_worth_it():
    panel = said(("random", 50, 1e15), ("dear", 60, 5e15), ("random", 52, 5e15))
    assert lead(panel, "dear")["random_reaches"] is None
    assert panel["verdict"]["sentence"].startswith("dear was worth it for t: 8.01 accuracy higher")


def test_a_tenth_more_is_still_beside_it_and_the_whole_pool_ends_the_axis():
    assert lead(said(("random", 50, 1e15), ("dear", 60, 1.09e15)), "dear")["random_reaches"] is None
    assert lead(said(("random", 50, 1e15), ("dear", 60, 1.2e15)), "dear")["random_reaches"] is not None
    whole = said(("random", 50, 1e15), ("dear", 60, 5e15), share=1.0)
    assert lead(whole, "dear")["random_reaches"] is None, "there are no more rows to take at random"
    assert whole["verdict"]["worth"]


def test_what_is_beside_random_is_judged_and_the_rest_is_said():
    panel = said(("random", 50, 1e15), ("good", 55, 1e15), ("dear", 60, 5e15))
    assert panel["verdict"]["method"] == "good"
    assert "One arm spent more compute than any random run" in panel["verdict"]["sentence"]
    worse = said(("random", 50, 1e15), ("bad", 45, 1e15), ("dear", 40, 5e15))
    assert worse["overall"].startswith("Was it worth it? No. Nothing beat random on t")
    assert "was no better than its last run for 5 times its compute" in worse["overall"]


def over(*panels: tuple[tuple[str, float, float], ...], seeds: int = 3) -> str:
    """The sentence over several tasks."""
    runs = [
        replace(run(m, s + seed + 0.01 * (m != "random") * seed, c, seed, 0.1 * c / 1e15), task=f"t{number}")
        for number, arms in enumerate(panels) for m, s, c in arms for seed in range(seeds)
    ]  # fmt: skip
    return str(frontier(Results(tuple(runs)))["verdict"]["sentence"])


RANDOM, BAD, DEAR = ("random", 50.0, 1e15), ("bad", 45.0, 1e15), ("dear", 60.0, 5e15)


def test_over_several_tasks_what_is_undecided_on_some_is_no_no():
    found = over((RANDOM, BAD), (RANDOM, DEAR), (RANDOM, DEAR))
    assert found == (
        "Was it worth it? Undecided on t1 accuracy, t2 accuracy: arms spent more than any random run; on the other 1 "
        "choosing did not certainly beat random rows for its compute."
    )
    assert "Undecided on all 2 measures: arms spent more than any random run." in over((RANDOM, DEAR), (RANDOM, DEAR))
    assert over((RANDOM, BAD), (RANDOM, BAD)).startswith("Was it worth it? No: on none of 2 measures")


def test_over_several_tasks_one_seed_each_is_undecided_for_want_of_seeds():
    good = ("good", 55.0, 1e15)
    found = over((RANDOM, good), (RANDOM, good), seeds=1)
    assert found.startswith("Was it worth it? Undecided on all 2 measures: without repeated seeds nobody knows")
    assert "random run" not in found


@pytest.mark.parametrize(("error", "told"), [(None, False), (4.9, False), (5.1, True)])
def test_a_lead_within_one_standard_error_over_test_rows_is_said_to_be_that(error: float | None, told: bool):
    """Seeds can agree on five points that other test rows would not show."""
    runs = [
        replace(run(method, score + seed, 1e15, seed, 0.1), score_se=error)
        for method, score in (("random", 50.0), ("good", 55.0)) for seed in range(3)
    ]  # fmt: skip
    verdict = frontier(Results(tuple(runs)))["panels"][0]["verdict"]
    assert verdict["worth"]
    assert ("That counts seeds, not test rows: one standard error" in verdict["sentence"]) == told
