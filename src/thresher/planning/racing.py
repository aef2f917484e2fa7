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
from collections.abc import Sequence

from thresher.errors import BudgetError, RecipeError
from thresher.planning.course import Cell, Contender, Course, Runner
from thresher.planning.difference import paired


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
