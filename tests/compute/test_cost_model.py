"""Work as time and money."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from thresher.compute.cost_model import ACHIEVED, CostModel, price
from thresher.compute.hardware import Hardware
from thresher.core.cost import Cost, Receipt
from thresher.errors import UnknownName

DEVICE = Hardware("test", 1e15, 1e14, 80e9, 2.0, "invented")
MODEL = CostModel(DEVICE, {"forward": 0.5, "train": 0.25})
TOKENS, FLOPS = np.array([10, 20, 30]), np.array([1e12, 2e12, 3e12])


def test_an_hour_of_flops_costs_an_hour_and_its_dollars():
    hour = Cost(flops=0.5 * 1e15 * 3600)
    assert MODEL.seconds(hour) == pytest.approx(3600)
    assert MODEL.in_unit(hour, "flops") == hour.flops
    assert MODEL.in_unit(hour, "gpu_hours") == pytest.approx(1)
    assert MODEL.in_unit(hour, "usd") == pytest.approx(2)
    assert MODEL.in_unit(hour, "gpu_hours", "train") == pytest.approx(2)
    assert MODEL.priced(3.0).in_unit(hour, "usd") == pytest.approx(3)


def test_processor_time_is_billed_in_hours_and_not_in_flops():
    cost = Cost(cpu_seconds=1800.0)
    assert MODEL.in_unit(cost, "flops") == 0
    assert MODEL.in_unit(cost, "gpu_hours") == pytest.approx(0.5)


@pytest.mark.parametrize("unit", ["examples", "tokens"])
def test_rows_and_tokens_never_pay_for_choosing(unit):
    assert MODEL.in_unit(Cost(flops=1e20, cpu_seconds=1e6), unit) == 0


def test_an_unknown_kind_of_work_is_named():
    with pytest.raises(UnknownName, match="'forward'"):
        MODEL.seconds(Cost(flops=1.0), "foward")


@given(share=st.floats(1e-4, 1.0), seconds=st.floats(1e-2, 1e5), parts=st.integers(1, 5))
def test_calibration_finds_the_share_the_receipts_were_made_with(share, seconds, parts):
    receipts = [Receipt("s", flops=share * 1e15 * seconds, seconds=seconds, kind="train")] * parts
    model = CostModel.calibrate(DEVICE, receipts)
    assert_allclose(model.achieved["train"], share, rtol=1e-9)
    assert model.achieved["forward"] == ACHIEVED["forward"]
    again = model.seconds(Cost(flops=sum(r.flops for r in receipts)), "train")
    assert_allclose(again, parts * seconds, rtol=1e-9)


def test_shared_and_empty_receipts_teach_nothing():
    shared = Receipt("a", flops=1e18, seconds=1.0, shared=True)
    receipts = [shared, Receipt("b", seconds=5.0), Receipt("c", flops=1e9)]
    assert CostModel.calibrate(DEVICE, receipts).achieved == dict(ACHIEVED)


def test_prices_of_rows_follow_the_unit():
    assert_allclose(price("examples", TOKENS, FLOPS, MODEL), [1, 1, 1])
    assert_allclose(price("tokens", TOKENS, FLOPS, MODEL), TOKENS)
    assert_allclose(price("flops", TOKENS, FLOPS, MODEL), FLOPS)
    assert_allclose(price("gpu_hours", TOKENS, FLOPS, MODEL), FLOPS / (0.25 * 1e15) / 3600)
    assert_allclose(price("usd", TOKENS, FLOPS, MODEL), 2 * FLOPS / (0.25 * 1e15) / 3600)
