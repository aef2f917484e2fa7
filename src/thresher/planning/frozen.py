"""A race on a finished results table: what it would have saved against the full grid, and what it would have missed.

The table's runs stand for the runs of the race. Choosing is charged once per contender, at its dearest so far: sizes
and seeds share one measurement. Runs on the whole pool that nobody paid to choose are one contender, `full`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thresher.errors import BudgetError, RecipeError
from thresher.planning.arms import Arm, arms
from thresher.planning.course import Cell, Contender, Course, Outcome
from thresher.planning.finish import finish
from thresher.planning.racing import race
from thresher.planning.results import Panel

CONTROL, FULL, WHOLE = "random", "full", "the whole pool"
SHARES = (0.1, 0.25, 0.5, 1.0)  # of the full grid's price


@dataclass(frozen=True)
class Grid:
    """A panel as a race needs it: an arm for a contender at a size, and the seeds that all arms have."""

    cells: dict[tuple[str, int], Arm]
    contenders: tuple[Contender, ...]
    sizes: tuple[str, ...]
    seeds: tuple[int, ...]
    higher: bool
    whole: float | None

    @property
    def price(self) -> float:
        """FLOPs of every contender at every size under every seed."""
        each = (one.selection + len(self.seeds) * sum(one.training.values()) for one in self.contenders)
        return sum(each)

    def score(self, arm: tuple[str, int], seed: int | None = None) -> float:
        """Of one seed, or the mean over all of them."""
        found = self.cells[arm]
        return found.score if seed is None or not found.by_seed else found.by_seed[seed]


def grid(panel: Panel) -> Grid | None:
    """A panel as a grid; None where fewer than two contenders stand beside one another."""
    found = [arm for arm in arms(panel) if not arm.untrained]
    bought = [arm for arm in found if (arm.fraction or 0) >= 1 and arm.selection_flops > 0]
    found = [arm for arm in found if arm not in bought]  # the whole pool, chosen dearly: that is `full`
    named: dict[tuple[str, str], Arm] = {}
    for arm in found:
        named.setdefault((FULL, WHOLE) if arm.full or arm.method == FULL else (arm.name, _size(arm)), arm)
    names = list(dict.fromkeys(name for name, _ in named))
    if len(names) < 2:
        return None
    by_size: dict[str, list[float]] = {}
    for (_, size), arm in named.items():
        by_size.setdefault(size, []).append(arm.training_flops)
    sizes = tuple(sorted(by_size, key=lambda size: (size == WHOLE, statistics.median(by_size[size]))))
    cells = {(name, sizes.index(size)): arm for (name, size), arm in named.items()}
    seeds = set.intersection(*(set(arm.by_seed) or {0} for arm in cells.values()))
    if not seeds:
        return None
    contenders = tuple(_contender(name, cells) for name in names)
    return Grid(cells, contenders, sizes, tuple(sorted(seeds)), panel.higher, panel.full_flops)


def _size(arm: Arm) -> str:
    if arm.runs[0].budget:
        return arm.runs[0].budget
    return f"{100 * arm.fraction:.3g} %" if arm.fraction else f"{arm.rows} rows"


def _contender(name: str, cells: dict[tuple[str, int], Arm]) -> Contender:
    mine = {rung: arm for (who, rung), arm in cells.items() if who == name}
    return Contender(
        name=name,
        training={rung: mine[rung].training_flops for rung in sorted(mine)},
        selection=max(arm.selection_flops for arm in mine.values()),
        control=name in (CONTROL, FULL),
    )


def replay(found: Grid, budget: float, *, keep: float = 0.5) -> Course:
    """The race that `thresher run --race` would have run.

    Raises:
        BudgetError: the budget is below the first round's price.
        RecipeError: fewer than two contenders can start.
    """
    paid: dict[str, float] = {}

    def run(cells: Sequence[Cell]) -> list[Outcome]:
        done = []
        for cell in cells:
            arm = found.cells[cell.arm]
            new = max(0.0, arm.selection_flops - paid.get(cell.contender, 0.0))
            paid[cell.contender] = paid.get(cell.contender, 0.0) + new
            done.append(Outcome(found.score(cell.arm, cell.seed), arm.training_flops, new))
        return done

    return race(
        found.contenders, found.seeds, budget, run, sizes=found.sizes, higher=found.higher, keep=keep, whole=found.whole
    )


def economy(panel: Panel, shares: Sequence[float] = SHARES, *, keep: float = 0.5) -> list[dict[str, Any]]:
    """Races at shares of the full grid's price: spent, winner, regret. Empty where there is nothing to race.

    `regret` is how far the winner's mean over all seeds is behind the best arm that the whole budget could have bought
    in one use; `random` is how far random rows are, the most of them that it could have bought.
    """
    found = grid(panel)
    return [] if found is None else [_line(found, share, keep) for share in shares]


def _line(found: Grid, share: float, keep: float) -> dict[str, Any]:
    budget = share * found.price
    line: dict[str, Any] = {"share": share, "budget": budget, "grid": found.price}
    try:
        course = replay(found, budget, keep=keep)
    except (BudgetError, RecipeError) as problem:
        return {**line, "problem": str(problem)}
    said = finish(course)
    sign = 1.0 if found.higher else -1.0
    price = {arm: one.total_flops for arm, one in found.cells.items()}
    within = [arm for arm in found.cells if price[arm] <= budget]
    best = max(within, key=lambda arm: sign * found.score(arm))
    winner = course.finalists[0]
    plain = max((arm for arm in within if arm[0] in (CONTROL, FULL)), key=lambda arm: price[arm], default=None)
    return {
        **line,
        "spent": course.spent,
        "saved": 1 - course.spent / found.price,
        "runs": len(course.outcomes),
        "of_runs": len(found.cells) * len(found.seeds),
        "winner": course.named(winner),
        "score": found.score(winner),
        "best": f"{best[0]} at {found.sizes[best[1]]}",
        "best_score": found.score(best),
        "regret": max(0.0, sign * (found.score(best) - found.score(winner))),
        "random": None if plain is None else max(0.0, sign * (found.score(best) - found.score(plain))),
        "left_out": course.left_out,
        "sentence": said["sentence"],
    }
