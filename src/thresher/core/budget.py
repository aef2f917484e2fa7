"""A budget: an amount and a unit. It knows no hardware."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from thresher.errors import BudgetError

Unit = Literal["examples", "tokens", "flops", "gpu_hours", "usd"]

_UNITS: dict[str, Unit] = {
    "row": "examples", "rows": "examples", "example": "examples", "examples": "examples",
    "token": "tokens", "tokens": "tokens",
    "flop": "flops", "flops": "flops",
    "gpu-hour": "gpu_hours", "gpu-hours": "gpu_hours", "gpu_hours": "gpu_hours", "gpuh": "gpu_hours",
    "hour": "gpu_hours", "hours": "gpu_hours",
    "usd": "usd", "$": "usd", "dollar": "usd", "dollars": "usd",
}  # fmt: skip
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_NUMBER = r"[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_PATTERN = re.compile(rf"(\$)?\s*({_NUMBER})\s*((?:[kmbt](?![a-z]))?)\s*(%|[a-z$_-]*)", re.I)  # 5 tokens: no tera
_WAYS = "5% | 2000 rows | 4M tokens | 2e17 flops | 3 gpu-hours | $20"


@dataclass(frozen=True)
class Budget:
    """An amount of one unit.

    Budget.parse("5%", n)            a twentieth of the rows
    Budget.parse("2000 rows", n)     rows
    Budget.parse("4M tokens", n)     training tokens
    Budget.parse("2e17 flops", n)    pays for selection and training
    Budget.parse("3 gpu-hours", n)   the same, in hours of the named hardware
    Budget.parse("$20", n)           the same, in dollars
    """

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str, n: int) -> Budget:
        """Read a budget; `n` is the pool's rows, for percentages and the upper bound.

        Raises:
            BudgetError: it cannot be read, is not above zero, or asks for more rows than there are.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise BudgetError(f"cannot read the budget {text!r}. Write one of: {_WAYS}.")
        dollar, number, scale, word = match.groups()
        amount = float(number.replace(",", "").replace("_", "")) * _SCALES[scale.lower()]
        if word == "%":
            if scale:
                raise BudgetError(f"cannot read the budget {text!r}. Write one of: {_WAYS}.")
            rows = float(math.floor(n * amount / 100 + 1e-9)) if amount > 0 else amount
            budget = cls(rows, "examples")
            if 0 < amount <= 100 and budget.amount < 1:
                raise BudgetError(
                    f"the budget {text!r} of {n} rows is less than one row. Ask for {100 / n:.3g}% or more."
                )
        else:
            unit = "usd" if dollar else _UNITS.get(word.lower())
            if unit is None or (dollar and word):
                what = f"has the unknown unit {word!r}" if word else "has no unit"
                raise BudgetError(f"the budget {text!r} {what}. Write one of: {_WAYS}.")
            budget = cls(amount, unit)
        if not math.isfinite(budget.amount) or budget.amount <= 0:
            raise BudgetError(f"the budget {text!r} is not above zero. Write one of: {_WAYS}.")
        if budget.unit == "examples" and (budget.amount > n or (word == "%" and amount > 100)):
            raise BudgetError(
                f"the budget {text!r} is above the pool's {n:,} rows. Ask for at most {n} rows, "
                "or use the method 'full' to train on all of them."
            )
        return budget

    @property
    def pays_for_selection(self) -> bool:
        """Whether the unit covers choosing as well as training."""
        return self.unit in ("flops", "gpu_hours", "usd")

    def after(self, spent: float) -> Budget:
        """What is left, in the same unit.

        Raises:
            BudgetError: nothing is left.
        """
        left = self.amount - spent
        if left <= 0:
            raise BudgetError(
                f"nothing is left for training: the budget is {self}, and choosing alone costs "
                f"{Budget(spent, self.unit)}"
            )
        return Budget(left, self.unit)

    def __str__(self) -> str:
        if self.unit == "usd":
            return f"${self.amount:,.4g}"
        name = {"examples": "rows", "gpu_hours": "gpu-hours"}.get(self.unit, self.unit)
        number = f"{self.amount:,.0f}" if self.unit in ("examples", "tokens") else f"{self.amount:.4g}"
        return f"{number} {name}"
