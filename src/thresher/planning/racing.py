"""A race: arms in rounds, losers stopped, everything charged to one budget.

    climb   every contender (a method with its scorer) trains at the smallest size under the first seed; the better
            share `keep` of them goes on to the next size, fewer where the budget would not take the leader to the top
    seeds   the arms of the last round, the best arm and the control at its size train under the next seeds, one a
            round; an arm whose paired interval behind the leader excludes 0 is stopped

Source:  successive halving (Jamieson & Talwalkar 2016) with the size of the subset as the resource, then a race
         with paired tests (Maron & Moore 1994).
Differs: the control (random rows) is never stopped while the budget lasts, since every verdict needs it, and the
         price of the whole pool is kept back where it is a contender; equal scores go to the cheaper arm; a method
         whose choosing alone costs what training on everything costs does not start. Nothing is drawn by chance: an
         interrupted race, run again, decides the same.
Cost:    every run, the losers' included, and every choosing once per contender. Evaluation is on no bill.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from thresher.errors import BudgetError, RecipeError
from thresher.planning.difference import paired


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


def race(
    contenders: Sequence[Contender], seeds: Sequence[int], budget: float, run: Runner, *, sizes: Sequence[str],
    higher: bool = True, keep: float = 0.5, whole: float | None = None,
) -> Course:  # fmt: skip
    """Run the race; `run` trains and scores some cells, and is called once a round.

    Raises:
        RecipeError: fewer than two contenders, or a share that is none.
        BudgetError: the budget is below the price of the first round.
    """
    if not 0 < keep < 1:
        raise RecipeError(f"race: the share that goes on must be between 0 and 1, not {keep:g}; 0.5 is usual.")
    course = Course({}, seeds, budget, run, sizes, higher, keep, whole)
    for one in contenders:
        if whole is not None and one.selection >= whole:
            course.left_out[one.name] = (
                f"choosing alone costs {one.selection:.3g} FLOPs, and training on the whole pool {whole:.3g}"
            )
        else:
            course.contenders[one.name] = one
    _check(course, contenders)
    _climb(course)
    _more_seeds(course)
    return course


def _check(course: Course, named: Sequence[Contender]) -> None:
    out = "".join(f" {name} is left out: {why}." for name, why in course.left_out.items())
    if len(course.contenders) < 2:
        only = ", ".join(one.name for one in named) or "none"
        raise RecipeError(
            f"race: a race needs two contenders at least; this one has {only}.{out} Name more methods or scorers, or "
            "use `thresher run` without --race."
        )
    price = course.price(_first_round(course))
    if price > course.budget:
        each = ", ".join(f"{cell.contender} {course.price([cell]):.3g}" for cell in _first_round(course))
        raise BudgetError(
            f"race: the first round, every contender once at its smallest size, costs {price:.4g} FLOPs ({each}), and "
            f"the whole race may cost {course.budget:.4g}. Give it more, smaller sizes, or fewer or cheaper "
            f"contenders.{out}"
        )


def _first_round(course: Course) -> list[Cell]:
    rung = min(one.first for one in course.contenders.values())
    return [Cell(one.name, rung, course.seeds[0]) for one in course.contenders.values() if one.first == rung]


def _climb(course: Course) -> None:
    going = _first_round(course)
    while going:
        course.take("climb", going)
        going = _next(course, going)


def _next(course: Course, ran: Sequence[Cell]) -> list[Cell]:
    """Who goes on to the next size: the better share, as many of them as the budget carries, and the control."""
    rung = ran[0].rung + 1
    later = [one for one in course.contenders.values() if one.first >= rung]
    best_first = [course.contenders[name] for name, _ in course.order([cell.arm for cell in ran])]
    racing = [one for one in best_first if not one.control]
    kept = racing[: max(1, math.ceil(course.keep * len(racing) - 1e-9))]
    for place, one in enumerate(racing[len(kept) :], start=len(kept) + 1):
        course.stop(one.name, f"{place} of {len(racing)} at {course.sizes[rung - 1]}; {len(kept)} went on")
    control = [one for one in best_first if one.control]
    while rung < len(course.sizes):
        up = [one for one in kept if rung in one.training]
        steady = [one for one in control if rung in one.training]
        new = [one for one in later if one.first == rung]
        found = _affordable(course, rung, up, steady, new, _reserved(course, rung))
        if found:
            return found
        kept = [one for one in kept if one not in up]  # the budget does not carry them
        rung += 1
    return []


def _reserved(course: Course, rung: int) -> float:
    """What a control that enters later would cost (the whole pool), where that can still be paid."""
    late = sum((one.training[one.first] for one in course.contenders.values() if one.control and one.first > rung), 0.0)
    return late if late <= course.left else 0.0


def _affordable(
    course: Course, rung: int, up: list[Contender], control: list[Contender], new: list[Contender], reserved: float
) -> list[Cell]:
    """The longest line-up that leaves enough for the leader to reach the top; else the leader alone, else nobody."""
    line = [*up, *new]
    to_top = [*up[:1], *control] if up else []
    rest = sum((course.training(one.name, at) for one in to_top for at in one.training if at > rung), 0.0)
    tried = [([*line[:many], *control], rest) for many in range(len(line), 0, -1)]
    tried += [([*line[:1], *control], 0.0), (line[:1], 0.0)]
    for many, later in tried:
        cells = [Cell(one.name, rung, course.seeds[0]) for one in many]
        if line and course.price(cells) + later + reserved <= course.left:
            break
    else:
        cells = []
    for one in [*line, *control] if line else []:
        if one.name not in {cell.contender for cell in cells}:
            course.stop(one.name, f"the budget does not carry it to {course.sizes[rung]}")
    return cells


def _more_seeds(course: Course) -> None:
    """Seeds for the arms of the last climb, the best arm and the control at its size, while there is a rival."""
    best = course.order(list(dict.fromkeys(cell.arm for cell in course.outcomes)))[0]
    control = [arm for arm in {cell.arm: None for cell in course.outcomes} if _beside(course, arm, best)]
    course.finalists = course.order(list(dict.fromkeys([best, *control, *_last_climb(course)])))
    for seed in course.seeds[1:]:
        best = course.finalists[0]
        line = [best, *sorted(course.finalists[1:], key=lambda arm: not _beside(course, arm, best))]
        cells: list[Cell] = []
        for name, rung in line:
            cell = Cell(name, rung, seed)
            if course.price([*cells, cell]) <= course.left and (cells or (name, rung) == best):
                cells.append(cell)
        if len(cells) < 2:
            return
        for arm in line:
            if Cell(*arm, seed) not in cells:
                course.stop(course.named(arm), "the budget carries no further seed of it")
        course.take("seeds", cells)
        course.finalists = _rivals(course, [cell.arm for cell in cells])


def _beside(course: Course, arm: tuple[str, int], best: tuple[str, int]) -> bool:
    """Whether it is the control at another arm's size."""
    return course.contenders[arm[0]].control and arm[1] == best[1]


def _last_climb(course: Course) -> list[tuple[str, int]]:
    """The arms of the last climb in which several ran, and of those after it."""
    arms: list[tuple[str, int]] = []
    for one in reversed(course.rounds):
        arms += [cell.arm for cell in one.ran]
        if len(one.ran) > 1:
            break
    return arms


def _rivals(course: Course, arms: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The leader, and those that are not certainly behind it; a certain loser is stopped."""
    order = course.order(arms)
    sign = 1.0 if course.higher else -1.0
    kept = order[:1]
    for arm in order[1:]:
        lead = paired(course.scores(order[0]), course.scores(arm), sign)
        if lead is not None and lead.above and not _beside(course, arm, order[0]):
            course.stop(course.named(arm), f"behind {course.named(order[0])} by {lead.low:.3g} at least (95 %)")
        else:
            kept.append(arm)
    return kept
