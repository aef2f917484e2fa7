"""A race as it goes: its runs and what they cost, who was stopped and why. The rules are in racing.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """One run: a contender at a size under a seed."""

    contender: str
    rung: int
    seed: int

    @property
    def arm(self) -> tuple[str, int]:
        """Contender and size."""
        return self.contender, self.rung


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A method with its scorer, and what it would cost, in FLOPs.

    Attributes:
        training: the price of one training run at each size it has, smallest first.
        selection: the price of choosing, once for all sizes and seeds.
        control: never stopped.
    """

    name: str
    training: Mapping[int, float]
    selection: float = 0.0
    control: bool = False

    @property
    def first(self) -> int:
        """Its smallest size."""
        return min(self.training)


@dataclass(frozen=True)
class Outcome:
    """What a run scored and cost; `selection_flops` is what was newly spent on choosing for it."""

    score: float
    training_flops: float
    selection_flops: float = 0.0

    @property
    def flops(self) -> float:
        """Everything this run took from the race's budget."""
        return self.training_flops + self.selection_flops


@dataclass(frozen=True)
class Round:
    """Who ran, who was stopped afterwards and why, and what had been spent by then."""

    kind: str  # "climb" or "seeds"
    rung: int | None  # of a climb
    seed: int
    ran: tuple[Cell, ...]
    stopped: dict[str, str]
    spent: float


Runner = Callable[[Sequence[Cell]], Sequence[Outcome]]


@dataclass
class Course:
    """A race as it goes: rules, runs so far, rounds so far.

    Attributes:
        whole: what training on the whole pool costs; None where nobody knows.
        sizes: the name of each size, for words.
        keep: share of the contenders, the control aside, that goes on to the next size.
    """

    contenders: dict[str, Contender]
    seeds: Sequence[int]
    budget: float
    run: Runner
    sizes: Sequence[str]
    higher: bool = True
    keep: float = 0.5
    whole: float | None = None
    outcomes: dict[Cell, Outcome] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    finalists: list[tuple[str, int]] = field(default_factory=list)

    @property
    def spent(self) -> float:
        """FLOPs of everything so far."""
        return sum(one.flops for one in self.outcomes.values())

    @property
    def left(self) -> float:
        """FLOPs of the budget that are not spent."""
        return self.budget - self.spent

    def scores(self, arm: tuple[str, int]) -> dict[int, float]:
        """Scores of an arm by seed."""
        return {cell.seed: one.score for cell, one in self.outcomes.items() if cell.arm == arm}

    def mean(self, arm: tuple[str, int]) -> float:
        """Mean score of an arm over the seeds it has run."""
        found = self.scores(arm)
        return sum(found.values()) / len(found)

    def price(self, cells: Sequence[Cell]) -> float:
        """What some runs would take: training, and choosing for contenders that have not chosen yet."""
        chosen = {cell.contender for cell in self.outcomes}
        new = {cell.contender for cell in cells} - chosen
        training = sum(self.training(cell.contender, cell.rung) for cell in cells)
        return training + sum(self.contenders[name].selection for name in new)

    def training(self, name: str, rung: int) -> float:
        """The price of one training run, corrected by what this contender's runs have cost: it may choose long rows."""
        prices = self.contenders[name].training
        mine = [(cell, one) for cell, one in self.outcomes.items() if cell.contender == name]
        said = sum(prices[cell.rung] for cell, _ in mine)
        return prices[rung] * (sum(one.training_flops for _, one in mine) / said if said > 0 else 1.0)

    def order(self, arms: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Best first; equal scores by what the arm costs, then as they were named."""
        sign = -1.0 if self.higher else 1.0
        return sorted(arms, key=lambda arm: (sign * self.mean(arm), self.cost(arm)))

    def cost(self, arm: tuple[str, int]) -> float:
        """What one use of an arm costs: its choosing and one training run."""
        return self.contenders[arm[0]].selection + self.training(*arm)

    def take(self, kind: str, cells: Sequence[Cell]) -> None:
        """Run some cells and put them on the bill."""
        for cell, outcome in zip(cells, self.run(cells), strict=True):
            self.outcomes[cell] = outcome
        rung = cells[0].rung if kind == "climb" else None
        self.rounds.append(Round(kind, rung, cells[0].seed, tuple(cells), {}, self.spent))

    def stop(self, name: str, why: str) -> None:
        """Note that a contender (or an arm) goes no further."""
        self.rounds[-1].stopped[name] = why

    def named(self, arm: tuple[str, int]) -> str:
        """An arm in words."""
        return f"{arm[0]} at {self.sizes[arm[1]]}"
