"""Bills over methods that share a measurement."""

from __future__ import annotations

from thresher.compute import bill
from thresher.core.cost import Receipt


def test_what_is_shared_is_charged_fully_or_split():
    receipts = [Receipt(stage="embed", flops=900.0, shared=True), Receipt(stage="similarity", flops=10.0)]
    assert bill.charged_flops(receipts) == 910.0, "by default a method stands alone"
    assert bill.charged_flops(receipts, uses=3) == 310.0, "only the shared part is split"


def test_a_measurement_that_two_signals_rest_on_is_billed_once():
    embed, near, far = (Receipt(stage=name, flops=1.0) for name in ("embed", "near", "far"))
    assert bill.receipts([{"a": embed, "b": near}, {"a": embed, "c": far}]) == [embed, near, far]
