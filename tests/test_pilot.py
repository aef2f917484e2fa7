"""A pilot: inside its share, charged, and what it saw is in the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thresher import pilot as pilots
from thresher import planner, tariff
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import BudgetError, PoolError
from thresher.setting import Setting, Sources
from thresher.training.recipe import Recipe


@pytest.fixture
def setting(tiny_pool: Pool, tiny_model: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(pilots, "SMALLEST", 10)
    target = replace(tiny_pool.take(np.arange(4)), name="near")
    return Setting(
        Sources(pool="tiny", model=tiny_model, hardware="a100-80gb"), store, tiny_pool, target, tiny_model, None, None,
        Recipe(),
    )  # fmt: skip


def test_the_design_stays_within_its_allowance_and_drops_the_dearest_first(setting: Setting):
    full = tariff.job_of(setting).full_flops
    large = pilots.design(setting, 100 * full)
    assert large.rows == 40
    assert "less" in large.names
    small = pilots.design(setting, full)
    assert small.flops <= full
    assert set(small.names) < set(large.names)
    assert "random" in small.names
    with pytest.raises(BudgetError, match="trains on nothing"):
        pilots.design(setting, full / 1e3)


def test_a_pilot_is_charged_and_its_scores_are_in_the_plan(setting: Setting):
    full = tariff.job_of(setting).full_flops
    budget = f"{8 * full:.6g} flops"
    seen = pilots.pilot(setting, 0.25, budget, names=("random", "longest"))
    assert 0 < seen.flops < 0.35 * 8 * full
    (found,) = planner.plans(setting, (budget,), names=("random", "longest"), pilot=seen)
    assert found.ask.spent == pytest.approx(seen.flops)
    assert found.ask.left.amount == pytest.approx(8 * full - seen.flops, rel=1e-5)
    assert any(note.startswith("a pilot spent") for note in found.predictor.notes)
    assert found.predictor.unit == "loss", "the proxy is the model itself: its random rows are evidence of the job"
    assert found.predictor.zero_shot is not None
    assert {line.method for line in seen.prior.lines} == {"random", "longest"}
    again = pilots.pilot(setting, 0.25, budget, names=("random", "longest"))
    assert again == seen, "a finished pilot is read, not run"


def test_a_proxy_that_is_not_the_model_is_a_prior_only(setting: Setting, tiny_model: str, tmp_path: Path):
    proxy = pilots._proxy(replace(setting, sources=replace(setting.sources, scorer="small"), scorer="elsewhere"))
    assert (proxy.model, proxy.sources.model, proxy.scorer) == ("elsewhere", "small", None)


@pytest.mark.parametrize(("share", "budget", "says"), [
    (0.1, "50%", "pays for training rows only"), (1.5, "1e12 flops", "between 0 and 1"),
    (0.0, "1e12 flops", "between 0 and 1"),
])  # fmt: skip
def test_shares_and_budgets_that_pay_for_no_pilot(setting: Setting, share: float, budget: str, says: str):
    with pytest.raises(BudgetError, match=says):
        pilots.pilot(setting, share, budget)


def test_a_pilot_needs_rows_to_score_with(setting: Setting):
    with pytest.raises(PoolError, match="half of the target"):
        pilots.pilot(replace(setting, target=None), 0.1, "1e12 flops")
