"""Arms: the runs of one method at one size, over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from thresher.errors import ResultsError
from thresher.planning.results import Panel, Run

_SAME_SIZE = 1.05  # a budget in FLOPs or tokens buys a few rows more or less under another seed


@dataclass(frozen=True)
class Arm:
    """One method (with its scorer) at one size; several runs are its seeds."""

    runs: tuple[Run, ...]

    @property
    def method(self) -> str:
        """The method's name, variant included."""
        return self.runs[0].method

    @property
    def scorer(self) -> str:
        """The model that read the pool, empty if none did."""
        return self.runs[0].scorer

    @property
    def name(self) -> str:
        """Method, and scorer where there is one."""
        return f"{self.method} ({self.scorer})" if self.scorer else self.method

    @property
    def score(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(run.score for run in self.runs)

    @property
    def selection_flops(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(run.selection_flops for run in self.runs)

    @property
    def training_flops(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(run.training_flops for run in self.runs)

    @property
    def total_flops(self) -> float:
        """Mean over seeds of selection and training together."""
        return statistics.fmean(run.total_flops for run in self.runs)

    def at(self, axis: str) -> float:
        """Its place on a panel's axis: total FLOPs, or rows (the share of the pool where rows are not recorded)."""
        if axis == "total_flops":
            return self.total_flops
        return float(self.rows if self.rows is not None else self.fraction or 0.0)

    @property
    def fraction(self) -> float | None:
        """Share of the pool, mean over seeds; None where it is not recorded."""
        known = [run.fraction for run in self.runs if run.fraction is not None]
        return statistics.fmean(known) if known else None

    @property
    def rows(self) -> int | None:
        """Rows trained on, mean over seeds, rounded; None where it is not recorded."""
        known = [run.rows for run in self.runs if run.rows is not None]
        return round(statistics.fmean(known)) if known else None

    @property
    def untrained(self) -> bool:
        """Nothing was trained, so a seed changes nothing: zero-shot."""
        return all(run.training_flops == 0 for run in self.runs)

    @property
    def full(self) -> bool:
        """The whole pool, and nothing paid for choosing: training on everything."""
        return self.fraction is not None and self.fraction >= 1 and self.selection_flops == 0

    @property
    def by_seed(self) -> dict[int, float]:
        """The score of every run whose seed is recorded."""
        return {run.seed: run.score for run in self.runs if run.seed is not None}

    @property
    def se(self) -> float | None:
        """Standard error of the mean: from the spread over runs, else the one run's own score_se."""
        if len(self.runs) > 1:
            return statistics.stdev(run.score for run in self.runs) / len(self.runs) ** 0.5
        return self.runs[0].score_se


def arms(panel: Panel) -> list[Arm]:
    """The arms of a panel, in the order their methods first appear and by size within."""
    lines: dict[tuple[str, str, float | None], list[Run]] = {}
    for run in panel.runs:
        lines.setdefault((run.method, run.scorer, run.scorer_params), []).append(run)
    return [arm for runs in lines.values() for arm in _by_size(runs)]


def _by_size(runs: Sequence[Run]) -> list[Arm]:
    """Split one method's runs: by the budget asked for where it is recorded, else by size.

    Runs of different seeds whose sizes differ by at most 5 % are one arm.
    """
    asked: dict[str, list[Run]] = {}
    for run in runs:
        asked.setdefault(run.budget, []).append(run)
    found = []
    for budget, group in asked.items():
        group = sorted(group, key=lambda run: (_size(run), run.seed is not None, run.seed or 0))
        if budget:
            _refuse_repeats(group)
            found.append(group)
        else:
            found += _near(group)
    return [Arm(tuple(group)) for group in sorted(found, key=lambda group: _size(group[0]))]


def _near(group: Sequence[Run]) -> list[list[Run]]:
    parts: list[list[Run]] = []
    for run in group:
        last = parts[-1] if parts else None
        if last and _size(run) == _size(last[0]) and run.seed in {r.seed for r in last} - {None}:
            _refuse_repeats([*last, run])
        if last and _belongs(run, last):
            last.append(run)
        else:
            parts.append([run])
    return parts


def _belongs(run: Run, part: Sequence[Run]) -> bool:
    if _size(run) == _size(part[0]):
        return True
    new = run.seed is not None and run.seed not in {r.seed for r in part}
    return new and _size(run) <= _SAME_SIZE * _size(part[0])


def _size(run: Run) -> float:
    if run.fraction is not None:
        return run.fraction
    return float(run.rows or 0)


def _refuse_repeats(group: Sequence[Run]) -> None:
    seen: dict[int, Run] = {}
    for run in group:
        if run.seed is not None and run.seed in seen:
            raise ResultsError(
                f"Two lines are {run.method} on {run.task} at the same size with seed {run.seed} "
                f"(scores {seen[run.seed].score:g} and {run.score:g}). Keep one, or give them two seeds."
            )
        if run.seed is not None:
            seen[run.seed] = run
