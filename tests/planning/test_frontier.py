"""The Pareto set and the verdicts: planted answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import ResultsError
from thresher.planning.arms import arms
from thresher.planning.difference import difference, minimal_detectable_difference
from thresher.planning.frontier import frontier, pareto, verdicts
from thresher.planning.results import Panel, Results, Run


def run(
    method, score, training, *, selection=0.0, seed=None, fraction=0.1, se=None, metric="accuracy", **more
):
    return Run(method=method, model="m", task="t", metric=metric, score=float(score), fraction=fraction,
               seed=seed, selection_flops=float(selection), training_flops=float(training),
               score_se=se, **more)  # fmt: skip


def panel(*runs, metric="accuracy"):
    return Panel("t", metric, "m", "", tuple(runs))


def words(*runs, higher=True):
    found = arms(panel(*runs))
    return {arm.method: said.word for arm, said in zip(found, verdicts(found, higher=higher), strict=True)}


points = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30)


@given(points, st.booleans())
def test_a_point_is_kept_exactly_if_nothing_dominates_it(found, higher):
    cost, score = [float(c) for c, _ in found], [float(s) for _, s in found]
    sign = 1 if higher else -1
    both = set(zip(cost, score, strict=True))
    free = {(c, s) for c, s in both if not any(d <= c and sign * (t - s) >= 0 for d, t in both - {(c, s)})}
    kept = [(cost[i], score[i]) for i in pareto(cost, score, higher=higher)]
    assert set(kept) == free
    assert len(kept) == len(free), "ties in both are one point"
    assert kept == sorted(kept), "cheapest first"


def test_a_certain_loser_is_dominated_and_a_noisy_one_undecided():
    """The same mean gap of 2: steady within seeds in one case, all over the place in the other."""
    luck = [0.0, 5.0, -3.0]
    best = [run("best", 50 + x, 1e15, seed=i) for i, x in enumerate(luck)]
    steady = [
        run("steady", 48 + x + d, 2e15, seed=i)
        for i, (x, d) in enumerate(zip(luck, (0.1, 0, -0.1), strict=True))
    ]
    noisy = [run("noisy", 48 - x, 2e15, seed=i) for i, x in enumerate(luck)]
    assert words(*best, *steady, *noisy) == {
        "best": "on the frontier",
        "steady": "dominated",
        "noisy": "undecided",
    }


def test_losses_are_judged_the_other_way_round():
    low = [run("low", 1.0 + x, 1e15, seed=i, metric="loss") for i, x in enumerate((0, 0.3, 0.1))]
    high = [run("high", 1.5 + x, 1e15, seed=i, metric="loss") for i, x in enumerate((0, 0.3, 0.1))]
    assert words(*low, *high, higher=False) == {"low": "on the frontier", "high": "dominated"}


def test_zero_shot_pairs_with_every_seed_because_nothing_was_trained():
    zero = run("zero-shot", 50, 0, fraction=0.0)
    below = [run("random", 45 + x, 1e15, seed=i) for i, x in enumerate((0, 0.5, -0.5))]
    assert words(zero, *below) == {"zero-shot": "on the frontier", "random": "dominated"}


def test_single_runs_are_judged_by_score_se_or_plainly():
    assert words(run("a", 50, 1, se=1.0), run("b", 48, 2, se=1.0))["b"] == "undecided"
    assert words(run("a", 50, 1, se=0.5), run("b", 48, 2, se=0.5))["b"] == "dominated"
    assert words(run("a", 50, 1), run("b", 48, 2))["b"] == "dominated"
    assert words(run("a", 50, 1, se=0.5), run("b", 48, 2))["b"] == "undecided"


def test_the_same_scores_for_more_money_are_dominated():
    cheap = [run("cheap", 50 + i, 1e15, seed=i) for i in range(3)]
    dear = [run("dear", 50 + i, 1e15, selection=1e15, seed=i) for i in range(3)]
    assert words(*cheap, *dear)["dear"] == "dominated"


def test_seeds_whose_sizes_differ_by_a_row_are_one_arm_and_budgets_stay_apart():
    runs = [run("random", 50, 1e15, seed=s, fraction=f) for s, f in enumerate((0.1, 0.101, 0.0995))]
    assert len(arms(panel(*runs, *[run("random", 50, 1e15, seed=s, fraction=0.2) for s in range(3)]))) == 2
    asked = [
        run("bm25", 50, 1e15, seed=s, fraction=f, budget=b)
        for b in ("5%", "6%")
        for s, f in ((0, 0.05), (1, 0.06))
    ]
    assert [len(arm.runs) for arm in arms(panel(*asked))] == [2, 2]


def test_one_seed_twice_is_refused():
    with pytest.raises(ResultsError, match="same size with seed 1"):
        arms(panel(run("a", 50, 1, seed=1), run("a", 51, 1, seed=1)))


def test_the_detectable_difference_is_the_textbook_one():
    assert minimal_detectable_difference(1.0, 3) == pytest.approx(3.1, abs=0.01)
    assert minimal_detectable_difference(1.0, 5) == pytest.approx(1.66, abs=0.01)
    with pytest.raises(ValueError, match="at least 2"):
        minimal_detectable_difference(1.0, 1)


def test_a_paired_interval_is_student_s():
    a, b = (
        arms(panel(*[run("x", s, 1, seed=i) for i, s in enumerate(scores)]))[0]
        for scores in ((3, 5, 7), (2, 3, 4))
    )
    found = difference(a, b, higher=True)
    assert (found.mean, found.seeds, found.basis) == (2.0, 3, "paired")
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-5)


def test_worth_is_judged_at_the_same_total_compute():
    """A dear selector that beats random at equal rows, and loses to the random its bill would have bought."""
    runs = []
    for seed in range(3):
        runs += [
            run("random", 40 + seed, 1e15, seed=seed),
            run("random", 50 + seed, 4e15, seed=seed, fraction=0.4),
        ]
        runs += [run("dear", 45 + seed + 0.01 * seed, 1e15, selection=3e15, seed=seed)]
        runs += [run("good", 44 + seed - 0.01 * seed, 1e15, seed=seed)]
    said = frontier(Results(tuple(runs)))["panels"][0]
    lead = {arm["method"]: arm["against_random"] for arm in said["arms"]}
    assert lead["dear"]["high"] < 0
    assert lead["good"]["low"] > 0
    assert said["verdict"]["worth"]
    assert said["verdict"]["sentence"].startswith("good was worth it for t: 3.99 accuracy higher than random")
    json.dumps(said, allow_nan=False)


def test_nothing_beats_random_is_said_plainly():
    runs = [run(m, s + i, 1e15, seed=i) for m, s in (("random", 50), ("bm25", 48)) for i in range(3)]
    said = frontier(Results(tuple(runs)))["panels"][0]["verdict"]
    assert said["sentence"].startswith("Nothing beat random on t at the same total compute; the best, bm25")


def test_do_not_train_when_training_only_hurts():
    runs = [run("zero-shot", 60, 0, fraction=0.0), *[run("random", 50 + i, 1e15, seed=i) for i in range(3)]]
    assert frontier(Results(tuple(runs)))["panels"][0]["verdict"]["sentence"].startswith("Do not train for t")
