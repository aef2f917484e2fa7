"""A plan held against the run that came after it."""

from __future__ import annotations

from typing import Any

import pytest

from thresher.planning.verdict import verdict, verdicts


def arm(method: str, rows: int, score: float, total: float, scorer: str = "") -> dict[str, Any]:
    return {"method": method, "scorer": scorer, "budget": "", "rows": rows, "fraction": rows / 1000, "score": score,
            "total_flops": total, "training_flops": total if method == "random" else total / 2}  # fmt: skip


ARMS = [
    arm("zero-shot", 0, 10.0, 0.0), arm("random", 100, 30.0, 1e12), arm("random", 300, 36.0, 3e12),
    arm("bm25", 100, 34.0, 1e12), arm("bm25", 300, 40.0, 3e12), arm("ppl-mid", 100, 50.0, 9e12, "scratch:3m"),
]  # fmt: skip


def cost(method: str, rows: int) -> float:
    """Training on so many rows, as the arms have it."""
    return 1e10 * rows * (1.0 if method == "random" else 0.5)


def panel(arms: list[dict], metric: str = "accuracy", axis: str = "total_flops") -> dict[str, Any]:
    return {"task": "t", "metric": metric, "axis": axis, "higher_is_better": metric == "accuracy", "arms": arms}


def plan(answer: str, method: str, rows: int, budget: float = 3e12, scorer: str = "") -> dict[str, Any]:
    said = {"answer": answer, "method": method, "rows": rows, "scorer": scorer, "training_flops": cost(method, rows)}
    return {"recommendation": said, "budget": {"amount": budget}}


def test_the_best_within_the_budget_is_right():
    found = verdict(plan("bm25", "bm25", 280), panel(ARMS))
    assert found["regret"] == 0
    assert found["random"] == 4.0
    assert "it was right: bm25 on 300 rows scored 40, the best within 3e+12 FLOPs" in found["sentence"]


def test_what_it_gave_away_stands_beside_what_random_rows_would_have():
    found = verdict(plan("random", "random", 90), panel(ARMS))
    assert (found["regret"], found["random"]) == (10.0, 4.0)
    assert found["taken"]["rows"] == 100, "the nearest in compute"
    assert "10 worse (random rows: 4 worse)" in found["sentence"]


def test_nothing_dearer_than_the_budget_is_held_against_it():
    assert verdict(plan("bm25", "bm25", 300), panel(ARMS))["best"]["method"] == "bm25"
    assert verdict(plan("bm25", "bm25", 300, 9e12), panel(ARMS))["best"]["method"] == "ppl-mid"


def test_lower_is_better_turns_it():
    losses = [{**one, "score": 100 - one["score"]} for one in ARMS]
    assert verdict(plan("bm25", "bm25", 300), panel(losses, "loss"))["regret"] == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (plan("less", "less", 100), "the run did not try that"),
        (plan("train on all", "full", 1000), "the run did not try that"),
        (plan("do not train", "zero-shot", 0), "bm25 on 300 rows was the best"),
        (plan("bm25", "bm25", 10, -1.0), "no run cost"),
    ],
    ids=["a method that was not run", "the whole pool", "no training", "a budget below every run"],
)
def test_what_cannot_be_said_is_not(said: dict, words: str):
    assert words in verdict(said, panel(ARMS))["sentence"]


def test_equal_steps_are_no_compute_to_compare_at():
    both = {"panels": [panel(ARMS), panel(ARMS, axis="rows")]}
    assert len(verdicts(plan("bm25", "bm25", 300), both)) == 1


def expecting(method: str, rows: int, unit: str, lines: list[tuple[str, int, float]]) -> dict[str, Any]:
    candidates = [
        {"method": name, "scorer": "", "rows": n, "training_flops": cost(name, n), "score": score,
         "low": score - 2, "high": score + 2}
        for name, n, score in lines
    ]  # fmt: skip
    return {**plan(method, method, rows), "score_unit": unit, "candidates": candidates, "pilot_flops": 1e11}


def test_what_was_expected_stands_beside_what_was_reached():
    said = expecting("bm25", 280, "accuracy", [("bm25", 290, 41.0), ("bm25", 90, 20.0), ("random", 100, 31.0)])
    found = verdict(said, panel(ARMS))
    inside = {(one["method"], one["rows"]): one["inside"] for one in found["expected"]}
    assert inside == {("random", 100): True, ("random", 300): False, ("bm25", 100): False, ("bm25", 300): True}
    assert "It had expected 41 (39 to 43) on 290 rows; 40 was reached on 300." in found["sentence"]
    assert "2 of 4 arms came out inside" in found["sentence"]


def test_another_metric_was_not_expected_and_it_is_said():
    found = verdict(expecting("bm25", 280, "loss", []), panel(ARMS))
    assert found["expected"] is None
    assert "It expected no score of this metric" in found["sentence"]


@pytest.mark.parametrize(
    ("method", "se", "word"),
    [("bm25", 0.1, "yes"), ("bm25", 5.0, "undecided"), ("bm25", None, "undecided"), ("random", 0.1, "no")],
)
def test_worth_its_pilot_means_certainly_above_random_rows_for_all_of_the_budget(
    method: str, se: float | None, word: str
):
    found = verdict(expecting(method, 300, "accuracy", []), panel([{**one, "se": se} for one in ARMS]))
    assert found["worth"] == word
    two = panel([{**one, "se": 1.0, "runs": 2} for one in ARMS])
    assert verdict(expecting("bm25", 300, "accuracy", []), two)["worth"] == "undecided", "4 ahead, t of two seeds"
    assert "worth its pilot (1e+11 FLOPs)?" in found["sentence"]
    worse = [{**one, "score": 20.0} if one["method"] == "bm25" else one for one in ARMS]
    assert verdict(expecting("bm25", 300, "accuracy", []), panel(worse))["worth"] == "no"
