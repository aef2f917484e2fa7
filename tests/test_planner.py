"""From a setting to plans: prices from real tokens, and which results count as this job's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thresher import building, methods, planner, tariff
from thresher.compute import bill
from thresher.core.cost import Receipt
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import BudgetError, ModelError, ResultsError, UnknownName
from thresher.models import load
from thresher.planning.results import Results, Run
from thresher.setting import Setting, Sources
from thresher.training.recipe import Recipe, total_flops


@pytest.fixture
def setting(tiny_pool: Pool, tiny_model: str, store: Store) -> Setting:
    sources = Sources(pool="tiny", model=tiny_model, scorer=None, hardware="a100-80gb")
    target = replace(tiny_pool.take(np.arange(4)), name="near")
    return Setting(sources, store, tiny_pool, target, tiny_model, None, None, Recipe())


def line(setting: Setting, method: str, fraction: float, score: float, **more: object) -> Run:
    values = {
        "model": setting.sources.model or "", "task": "t", "metric": "accuracy", "pool": "tiny", "seed": 0,
        "selection_flops": 0.0, "training_flops": 1e9 * fraction, "fraction": fraction, **more,
    }  # fmt: skip
    return Run(method=method, score=score, **values)


def test_training_is_priced_by_real_tokens(setting: Setting):
    job = tariff.job_of(setting)
    lengths = setting.encoded.lengths()
    assert job.n == 40
    assert job.training(40)[0] == lengths.sum()
    assert job.full_flops == pytest.approx(total_flops(setting.recipe, load.architecture(setting.model), lengths))


@pytest.mark.parametrize("name", ["bm25", "rds+", "ppl-mid", "less", "gist"])
def test_the_pools_side_and_the_targets_side_are_the_whole_bill(setting: Setting, name: str):
    signals, _ = building.build(methods.get(name), model=setting.model, scorer=None)
    pool, own = tariff.split(signals, setting.pool, setting.target)
    whole = bill.price_of(signals, setting.pool, setting.target)
    assert pool.flops + own.flops == pytest.approx(whole.flops)
    if name == "ppl-mid":
        assert own.flops == pytest.approx(0.0, abs=1e-6 * whole.flops), "nothing looks at the target"
    if name in ("rds+", "less"):
        assert 0 < own.flops < pool.flops, "one reading of a large pool serves several targets"
    if name == "gist":
        assert pool.flops > 0, "the warm-up; what is kept of a reading depends on the target's subspace"


def test_what_cannot_be_used_says_why(setting: Setting):
    found = {offer.method: offer for offer in tariff.offers(setting)}
    assert "--encoder" in found["embed"].problem
    assert not found["less"].problem
    assert found["less"].pool_flops > found["ppl-mid"].pool_flops > 0
    bare = {offer.method: offer for offer in tariff.offers(replace(setting, target=None))}
    assert bare["less"].problem == "needs a target (--target)"
    assert not bare["ppl-mid"].problem


def test_several_scorers_are_offers_of_their_own(setting: Setting, tiny_model: str):
    setting = replace(setting, sources=replace(setting.sources, scorer="a"), scorer=tiny_model)
    found = tariff.offers(setting, scorers=("a", tiny_model), names=("ppl-mid", "bm25"))
    assert [(offer.method, offer.scorer) for offer in found] == [
        ("random", ""), ("ppl-mid", "a"), ("ppl-mid", tiny_model), ("bm25", ""),
    ]  # fmt: skip


def test_without_any_history_and_without_a_budget_there_are_plans(setting: Setting):
    found = planner.plans(setting, ())
    assert len(found) == 3
    assert all(one.predictor.unit == "utility" for one in found)
    assert all("weak prior" in one.predictor.notes[0] for one in found)
    assert all(one.best.candidate.total_flops <= one.ask.budget.amount * (1 + 1e-9) for one in found)


def test_a_history_of_another_pool_is_a_prior_only_and_said(setting: Setting):
    other = Results(tuple(line(setting, "random", f, s, pool="elsewhere") for f, s in ((0.1, 40.0), (1.0, 50.0))))
    (found,) = planner.plans(setting, ("50%",), history=other)
    assert found.predictor.unit == "utility"
    assert any("used as a prior only" in note and "pool elsewhere" in note for note in found.predictor.notes)


def test_a_history_that_paid_for_choosing_says_from_which_size_ratio_on_it_pays(setting: Setting):
    runs = [line(setting, "random", f, s, pool="elsewhere") for f, s in ((0.1, 40.0), (1.0, 50.0))]
    dear = line(setting, "ppl-mid", 0.1, 45.0, pool="elsewhere", selection_flops=runs[0].training_flops)
    runs.append(replace(dear, scorer="small", scorer_params=1e6, model_params=4e6))
    (found,) = planner.plans(setting, ("50%",), history=Results(tuple(runs)))
    (note,) = [note for note in found.predictor.notes if note.startswith("by the history, ppl-mid")]
    assert "tried at 4" in note


def test_a_history_without_a_pool_is_this_pools_only_if_its_rows_say_so(setting: Setting):
    for rows, unit in ((4, "accuracy"), (400, "utility")):
        own = Results(tuple(
            line(setting, "random", f, s, pool="", rows=round(rows * f / 0.1)) for f, s in ((0.1, 40.0), (1.0, 50.0))
        ))  # fmt: skip
        (found,) = planner.plans(setting, ("50%",), history=own)
        assert found.predictor.unit == unit


def test_the_jobs_own_history_gives_scores_and_can_say_do_not_train(setting: Setting):
    runs = [line(setting, "random", f, s) for f, s in ((0.1, 40.0), (0.5, 44.0), (1.0, 45.0))]
    (found,) = planner.plans(setting, ("50%",), history=Results(tuple(runs)))
    assert found.predictor.unit == "accuracy"
    assert 38 < found.best.estimate.score < 52
    untrained = line(setting, "zero-shot", 0.0, 90.0, training_flops=0.0)
    (found,) = planner.plans(setting, ("50%",), history=Results((*runs, untrained)))
    assert found.word == "do not train"


def test_several_tasks_of_one_job_must_be_named(setting: Setting):
    runs = tuple(line(setting, "random", f, 40.0 + f, task=task) for task in "ab" for f in (0.1, 1.0))
    with pytest.raises(ResultsError, match="several tables of this very job: a accuracy, b accuracy"):
        planner.plans(setting, ("50%",), history=Results(runs))
    (found,) = planner.plans(setting, ("50%",), history=Results(runs), task="b")
    assert found.predictor.unit == "accuracy"
    with pytest.raises(ResultsError, match="no task 'c'; it has a, b"):
        planner.plans(setting, ("50%",), history=Results(runs), task="c")


def test_unknown_hardware_lists_what_is_known(setting: Setting):
    with pytest.raises(UnknownName, match="Known: .*h100-sxm"):
        planner.plans(replace(setting, sources=replace(setting.sources, hardware="h1000")), ("5%",))


def test_a_model_is_needed_and_equal_steps_and_paid_budgets_do_not_go_together(setting: Setting):
    with pytest.raises(ModelError, match="--model"):
        planner.plans(replace(setting, model=None), ("5%",))
    with pytest.raises(BudgetError, match="steps"):
        planner.plans(replace(setting, recipe=Recipe(steps=10)), ("1e12 flops",))
    with pytest.raises(BudgetError, match="shared-by"):
        planner.plans(setting, ("5%",), shared_by=0)


def test_this_machines_own_receipts_say_how_fast_it_is(setting: Setting):
    here = replace(setting, sources=replace(setting.sources, hardware="cpu"))
    before = tariff.cost_model(here)
    done = Receipt(stage="loss", flops=1e9, seconds=1e6, kind="forward", device="cpu")
    folder = Path(setting.store.root) / "loss-1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"receipt": done.to_dict()}))
    after = tariff.cost_model(here)
    assert after.rate("forward") == pytest.approx(1e3)
    assert after.rate("train") == pytest.approx(before.rate("train"), rel=0.5), "nothing was learned of it"
