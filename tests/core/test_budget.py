"""A budget is read as it was meant, or refused."""

from __future__ import annotations

import pytest

from thresher.core.budget import Budget
from thresher.errors import BudgetError


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("5%", 10, "examples"),
        ("2.5 %", 5, "examples"),
        ("100%", 200, "examples"),
        ("1 row", 1, "examples"),
        ("150 rows", 150, "examples"),
        ("5000 tokens", 5000, "tokens"),
        ("5000tokens", 5000, "tokens"),
        ("1 token", 1, "tokens"),
        ("4M tokens", 4e6, "tokens"),
        ("16k tokens", 16e3, "tokens"),
        ("2T tokens", 2e12, "tokens"),
        ("2e17 flops", 2e17, "flops"),
        ("1,000,000 tokens", 1e6, "tokens"),
        ("3 gpu-hours", 3, "gpu_hours"),
        ("0.5 hours", 0.5, "gpu_hours"),
        ("$20", 20, "usd"),
        ("20 usd", 20, "usd"),
        ("$1.5k", 1500, "usd"),
    ],
)
def test_it_is_read(text: str, amount: float, unit: str):
    assert Budget.parse(text, 200) == Budget(float(amount), unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rows",
        "5",
        "-1 rows",
        "0%",
        "0.1%",
        "100.1%",
        "201 rows",
        "5 parsecs",
        "$5 rows",
        "5k%",
        "inf rows",
        "1e999 flops",
    ],
)
def test_it_is_refused(text: str):
    with pytest.raises(BudgetError, match="budget"):
        Budget.parse(text, 200)


def test_what_is_spent_is_gone():
    assert Budget(10.0, "flops").after(4.0) == Budget(6.0, "flops")
    with pytest.raises(BudgetError, match="nothing is left for training"):
        Budget(10.0, "flops").after(10.0)
