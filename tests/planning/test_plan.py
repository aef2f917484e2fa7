"""The planner's laws: nothing over budget, sharing and larger models never hurt what is dear to choose with."""

import pytest

from thresher.compute.cost_model import CostModel
from thresher.compute.hardware import Hardware
from thresher.core.budget import Budget
from thresher.errors import BudgetError
from thresher.planning.lines import Line
from thresher.planning.offers import Job, Offer, bigger, candidates, sizes
from thresher.planning.plan import Ask, plan
from thresher.planning.prediction import Predictor
from thresher.planning.prior import Prior
from thresher.planning.recommendation import to_dict

N = 10_000
PRICES = CostModel(Hardware("made-up", 1e15, 1e15, 8e10, 2.0, "a test"))
CHEAP, DEAR = Offer(method="random"), Offer(method="dear", scorer="s", pool_flops=3e14, job_flops=1e12)
PRIOR = Prior((
    Line("a", "random", ((0.0025, -0.6), (0.025, 0.0), (1.0, 1.0))),
    Line("a", "dear", ((0.0025, 0.6), (0.025, 0.5), (0.5, 0.1))),
    Line("b", "random", ((0.0025, -0.6), (0.025, 0.0), (1.0, 1.0))),
    Line("b", "dear", ((0.0025, 0.6), (0.025, 0.5), (0.5, 0.1))),
))  # fmt: skip


def job(each: float = 1e11) -> Job:
    return Job(n=N, training=lambda rows: (100 * rows, each * rows), model_params=1e8, model="m", pool="p")


def ask(budget: str, shared_by: int = 1, spent: float = 0.0, each: float = 1e11, offers=(CHEAP, DEAR)) -> Ask:
    return Ask(
        job=job(each), offers=offers, budget=Budget.parse(budget, N), prices=PRICES, shared_by=shared_by, spent=spent
    )


def made(budget: str, prior: Prior = PRIOR, zero_shot: float | None = None, **more):
    asked = ask(budget, **more)
    return plan(asked, Predictor(prior, asked.job, zero_shot=zero_shot))


def best_of(found, method: str):
    return max((line.estimate.score for line in found.lines if line.candidate.method == method and line.affordable),
               default=float("-inf"))  # fmt: skip


def test_total_is_selection_and_training():
    for one in candidates((CHEAP, DEAR), job(), shared_by=3):
        assert one.total_flops == one.selection_flops + one.training_flops
        if one.method == "dear":
            assert one.selection_flops == pytest.approx(1e14 + 1e12)


def test_sizes_do_not_depend_on_the_budget_and_reach_from_little_to_almost_all():
    rows = sizes(N)
    assert rows == sorted(set(rows))
    assert 25 <= rows[0] < 30
    assert rows[-1] < N
    assert max(b / a for a, b in zip(rows, rows[1:], strict=False)) < 1.2
    assert sizes(1) == [1]
    assert sizes(5) == [1, 2, 3, 4]


@pytest.mark.parametrize("budget", [
    "4e12 flops", "1e13 flops", "1e14 flops", "3.2e14 flops", "9e14 flops", "1e15 flops", "0.0004 gpu-hours", "$0.0008",
    "3%", "3000 rows", "70000 tokens",
])  # fmt: skip
def test_what_is_recommended_is_within_budget(budget: str):
    found = made(budget)
    assert found.best is not None
    assert found.best.candidate.takes(found.ask.budget, PRICES) <= found.ask.budget.amount * (1 + 1e-9)
    top = max(line.estimate.score for line in found.lines if line.affordable)
    assert found.best.estimate.score == pytest.approx(top)


def test_sharing_never_hurts():
    shared = [made("3.1e14 flops", shared_by=m) for m in (1, 2, 3, 10, 100)]
    for name in ("dear", "random"):
        scores = [best_of(found, name) for found in shared]
        assert scores == sorted(scores)
    best = [found.best.estimate.score for found in shared]
    assert best == sorted(best)
    assert [found.best.candidate.method for found in shared][0::4] == ["random", "dear"], "sharing turned the answer"


def test_a_larger_model_never_hurts_what_is_dear_to_choose_with():
    leads = []
    for times in (1.0, 2.0, 5.0, 20.0):
        budget = Budget(3.05e14 * times, "flops")
        asked = Ask(job=bigger(job(), times), offers=(CHEAP, DEAR), budget=budget, prices=PRICES)
        found = plan(asked, Predictor(PRIOR, asked.job))
        leads.append(best_of(found, "dear") - best_of(found, "random"))
    assert leads == sorted(leads)
    assert leads[0] < 0 < leads[-1]


def test_all_of_the_pool_where_it_is_affordable_and_nothing_is_above_it():
    found = made("1e15 flops")
    assert found.word == "train on all"
    assert "pays for all 10,000 rows" in to_dict(found)["reason"]
    above = Prior((*PRIOR.lines[:1], Line("a", "dear", ((0.025, 2.5), (0.5, 2.0)))))
    assert made("1e15 flops", above).word == "dear (s)", "a subset that is expected above it wins"


def test_do_not_train_where_the_untrained_model_is_above_everything():
    found = made("1e15 flops", zero_shot=1.01)
    assert found.word == "do not train"
    said = to_dict(found)
    assert said["reason"].startswith("Do not train")
    assert said["recommendation"]["total_flops"] == 0.0
    assert made("1e15 flops", zero_shot=0.5).word == "train on all"


def test_equal_expectations_go_to_the_cheaper():
    untried = Offer(method="nobody-tried-it", pool_flops=1e12)
    found = made("1e14 flops", offers=(untried, CHEAP))
    assert found.best.candidate.method == "random"


def test_the_recommended_method_takes_the_whole_budget():
    found = made("1.234e14 flops", offers=(CHEAP,))
    assert found.best.candidate.rows == 1234
    assert made("777 rows").best.candidate.rows == 777


def test_a_budget_below_the_cheapest_candidate_names_it():
    with pytest.raises(BudgetError, match="below the cheapest candidate: random on .* rows takes"):
        made("1e11 flops")


def test_a_pilot_is_taken_off_the_budget():
    found = made("1e14 flops", spent=5e13, offers=(CHEAP,))
    assert found.best.candidate.rows == 500
    with pytest.raises(BudgetError, match="went to the pilot"):
        made("1e14 flops", spent=1e14 - 1e11, offers=(CHEAP,))


def test_an_offer_that_cannot_be_used_is_shown_and_never_taken():
    found = made("5%", offers=(CHEAP, Offer(method="dear", problem="needs a target (--target)")))
    assert {line.candidate.method for line in found.lines} == {"random", "full"}
    assert to_dict(found)["not_usable"] == [{"method": "dear", "scorer": "", "why": "needs a target (--target)"}]


def test_the_three_facts_turn_the_answer_where_they_say():
    found = made("3.1e14 flops")
    sharing, size, scores = to_dict(found)["facts"]
    assert found.word == "random"
    assert made("3.1e14 flops", shared_by=int(sharing["value"])).word == sharing["then"] == "dear (s)"
    assert size["then"] == "dear (s)"
    assert scores["then"] == "dear (s)"
    more = 1.9 * scores["value"]
    better = Prior(tuple(
        Line(x.source, x.method, tuple((f, u + more) for f, u in x.points)) if x.method == "dear" else x
        for x in PRIOR.lines
    ))  # fmt: skip
    assert made("3.1e14 flops", better).word == "dear (s)"
    assert len(to_dict(found)["would_change"]) == 3


def test_the_documents_keys_are_the_contracts():
    said = to_dict(made("3.1e14 flops"))
    assert {"recommendation", "reason", "would_change", "candidates"} <= said.keys()
    keys = {"method", "scorer", "rows", "selection_flops", "training_flops", "total_flops", "score", "low", "high"}
    assert all(keys <= line.keys() for line in (said["recommendation"], *said["candidates"]))
    one = said["recommendation"]
    assert one["usd"] == pytest.approx(2.0 * one["hours"])
