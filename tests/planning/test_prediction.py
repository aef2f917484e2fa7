"""What is expected of a job, from its own runs and from others'."""

import math

import numpy as np
import pytest

from thresher.core.cost import Cost
from thresher.planning.curves import corrected_aic, fit
from thresher.planning.lines import BASE, Line, lines_of
from thresher.planning.offers import Candidate, Job
from thresher.planning.prediction import Predictor
from thresher.planning.prior import Prior
from thresher.planning.results import Panel, Run

N, EACH = 10_000, 1e11
JOB = Job(n=N, training=lambda rows: (100 * rows, EACH * rows), model_params=1e8)
PRIOR = Prior((
    Line("a", "random", ((0.025, 0.0), (1.0, 1.0))), Line("a", "dear", ((0.025, 0.4), (0.5, 0.1))),
    Line("b", "random", ((0.025, 0.1), (1.0, 0.9))), Line("b", "dear", ((0.025, 0.2), (0.5, 0.2))),
))  # fmt: skip


def run(method, fraction, score, seed=0, metric="accuracy", **more) -> Run:
    score, fraction = float(score), float(fraction)
    values = {"selection_flops": 0.0, "training_flops": fraction * N * EACH, "fraction": fraction, "rows": None, **more}
    return Run(method=method, model="m", task="t", metric=metric, score=score, seed=seed, model_params=1e8, **values)


def panel(*runs: Run) -> Panel:
    return Panel("t", runs[0].metric, "m", "p", tuple(runs))


def asked(method: str, fraction: float) -> Candidate:
    return Candidate(
        method=method, scorer="", scorer_params=None, rows=round(fraction * N), fraction=fraction, tokens=0,
        selection=Cost(), training=Cost(flops=fraction * N * EACH),
    )  # fmt: skip


def test_utility_is_random_at_a_fortieth_and_the_range_of_scores():
    found = {x.method: x for x in lines_of(panel(run("random", BASE, 40), run("random", 1, 50), run("a", BASE, 45)))}
    assert found["random"].points == ((BASE, 0.0), (1, 1.0))
    assert found["a"].points == ((BASE, 0.5),)
    assert found["a"].at(1.0) == 0.0
    assert found["a"].at(BASE / 10) == 0.5


def test_a_loss_gives_the_same_lines_as_its_negative():
    up = panel(run("random", 0.05, 40), run("random", 1, 50), run("a", 0.05, 45))
    down = panel(*(run(r.method, r.fraction, -r.score, metric="loss") for r in up.runs))
    assert [x.points for x in lines_of(up)] == [x.points for x in lines_of(down)]


def test_untried_methods_are_expected_like_random_and_surely_wider():
    known, untried = PRIOR.guess("random", 0.1), PRIOR.guess("nobody", 0.1)
    assert untried.mean == known.mean
    assert untried.sd > known.sd
    assert untried.sources == 0
    assert PRIOR.guess("full", 0.1) == PRIOR.guess("random", 1.0)


def test_a_source_of_the_like_size_counts_more():
    near, far = Line("near", "a", ((0.1, 0.4),), 1e8), Line("far", "a", ((0.1, -0.4),), 1e10)
    plain = Line("x", "random", ((0.025, 0.0), (1.0, 1.0)))
    prior = Prior((plain, near, far))
    leads = [prior.guess("a", 0.1, model_params=n).mean - prior.guess("random", 0.1).mean for n in (1e8, 1e9, 1e10)]
    assert leads[0] > 0 > leads[2]
    assert leads[1] == pytest.approx(0.0)


def test_the_shipped_prior_knows_what_it_says_it_knows():
    prior = Prior.published()
    for method in ("random", "bm25", "embed", "ppl", "less", "rds+", "ifd", "random:balanced", "less:sgd"):
        assert prior.guess(method, 0.05, model_params=7e9).sources > 0, method
    assert prior.guess("s2l", 0.05).sources == 0
    assert prior.guess("ppl-top", 0.05).mean < prior.guess("random", 0.05).mean
    climb = [prior.guess("random", f, model_params=7e9).mean for f in (0.005, 0.025, 0.1, 0.5, 1.0)]
    assert climb == sorted(climb)


def test_without_runs_of_the_job_scores_are_utilities_and_said():
    found = Predictor.of(PRIOR, JOB)
    assert found.unit == "utility"
    assert "nothing of this very job" in found.notes[0]


def test_one_point_a_method_places_the_job_on_its_own_scale():
    own = panel(run("random", 0.025, 40), run("dear", 0.025, 44), run("random", 1, 50))
    found = Predictor.of(PRIOR, JOB, own)
    assert found.unit == "accuracy"
    assert any("one size only of dear" in note for note in found.notes)
    low, high = found.estimate(asked("random", 0.025)), found.estimate(asked("random", 1.0))
    assert low.score == pytest.approx(40, abs=1.5)
    assert high.score == pytest.approx(50, abs=1.5)
    near = found.estimate(asked("dear", 0.05))
    assert low.score < near.score < high.score
    assert near.low < near.score < near.high


def test_a_single_run_is_enough_for_a_level_and_its_interval_is_wide():
    found = Predictor.of(PRIOR, JOB, panel(run("random", 0.1, 40)))
    middle = found.estimate(asked("random", 0.1))
    assert middle.score == pytest.approx(40, abs=1)
    assert found.estimate(asked("random", 1.0)).half > 5


def test_four_sizes_make_a_curve_of_its_own_whose_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    inside, shares = 0, (0.025, 0.05, 0.1, 0.25, 0.5)
    for _ in range(20):
        own = panel(*(run("a", f, 50 - 10 * math.exp(-6 * f) + rng.normal(0, 0.2)) for f in shares), run("full", 1, 50))
        got = Predictor.of(PRIOR, JOB, own).estimate(asked("a", 0.8))
        assert got.basis.startswith("its own")
        inside += got.low <= 50 - 10 * math.exp(-6 * 0.8) <= got.high
    assert inside >= 17


def test_few_points_are_less_sure_and_reading_further_out_is_less_sure_still():
    shares = np.array([0.02, 0.04, 0.08, 0.16, 0.32, 0.64])
    score = 40 + 3 * np.log10(shares / 0.02) + np.array([0.1, -0.1] * 3)
    half = {}
    for many in (3, 4, 6):
        curve = fit(shares[:many] * 1e18, score[:many], form="log-linear", full_flops=1e18)
        half[many] = curve.predict(0.05e18)[1]
    assert half[3] > half[4] > half[6]
    assert curve.predict(1e18)[1] > curve.predict(0.1e18)[1]
    assert fit([1e17, 2e17], [1.0, 2.0], form="log-linear", full_flops=1e18).predict(2e17)[1] == math.inf


def test_a_score_that_falls_with_compute_is_expected_to_fall_and_said():
    shares = (0.025, 0.05, 0.1, 0.25, 0.5)
    own = panel(*(run("random", f, 40 - 3 * math.log10(f / 0.025)) for f in shares))
    found = Predictor.of(PRIOR, JOB, own)
    assert any("gets worse with compute" in note for note in found.notes)
    assert found.estimate(asked("random", 0.025)).score > found.estimate(asked("full", 1.0)).score


def test_missing_seeds_are_said():
    found = Predictor.of(PRIOR, JOB, panel(run("random", 0.1, 40, seed=None), run("random", 1, 45, seed=None)))
    assert any("do not say their seeds" in note for note in found.notes)


def test_the_untrained_models_score_is_taken_from_the_history():
    own = panel(run("zero-shot", 0.0, 60, training_flops=0.0), run("random", 0.1, 40), run("random", 1, 45))
    assert Predictor.of(PRIOR, JOB, own).zero_shot == 60


def test_corrected_aic_needs_two_points_more_than_constants_and_prefers_the_smaller_error():
    assert corrected_aic(1.0, 4) is None
    assert corrected_aic(1.0, 6) < corrected_aic(2.0, 6)
    assert corrected_aic(1.0, 6, constants=1) < corrected_aic(1.0, 6, constants=2)


@pytest.mark.parametrize("scores", [[50.0, 49.0, 48.0, 47.0, 46.0], [50.0] * 5])
def test_a_parameter_on_its_bound_warns(scores: list[float]):
    curve = fit(np.array([1, 2, 3, 4, 5]) * 1e17, scores, full_flops=1e18, p_bar=50.0)
    assert curve.at_bound
    assert "bound" in curve.warning


def test_a_loss_is_never_expected_below_zero():
    """Steep losses read far out: a straight line would fall through 0."""
    own = panel(*(run("random", f, s, metric="loss") for f, s in ((0.002, 6.0), (0.01, 2.0))))
    found = Predictor.of(PRIOR, JOB, own)
    far = found.estimate(asked("dear", 0.5))
    assert 0 < far.low < far.score < far.high
    assert far.score < found.estimate(asked("random", 0.002)).score
    assert found.better(far) > found.better(found.estimate(asked("random", 0.002)))
