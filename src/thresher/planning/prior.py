"""What other pools, models and tasks let us expect: a mean and a spread for every method and share of the pool.

    utility(m, f) = sum_j w_j random_j(f) / sum_j w_j  +  sum_j w_j lead_j(m, f) / (w_0 + sum_j w_j)
    w_j           = exp(-(log10 N - log10 N_j)^2 / 2 b^2) * the same in the scorer's size

Sources that trained a model of another size count less (b = a decade), and w_0 stands for a source in which
choosing made no difference: a method that few have tried is expected close to random. Ours, and weak on purpose.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

from thresher.planning.lines import BASE, PLAIN, Line, lines_of
from thresher.planning.results import Panel

BANDWIDTH = 1.0  # decades of model size
DOUBT = 0.5  # w_0: weight of a source in which choosing made no difference
FLOOR = 1e-3  # of a source of a far other size: better than nothing where there is no nearer one
SPREAD = 0.15  # standard deviation of a lead between two like sources, in utility
UNTRIED = 0.3  # of the lead of a method that no source has tried
CLIMB = 0.1  # of random's own climb

# variants and relatives that stand for one another where a source has only one of them
RELATIVES = {
    "embed:hash": "bm25", "dsir": "bm25", "dsir:top": "bm25", "dsir:groups": "bm25",
    "ppl-mid": "ppl", "ppl-mid:ccds": "ppl", "ppl-top:ccds": "ppl",
    "doubly-greedy": "rds+", "knn-uniform": "rds+", "knn-kde": "rds+", "uot": "rds+",
    "got-d:round-robin": "embed", "superfilter": "ifd",
}  # fmt: skip


@dataclass(frozen=True)
class Guess:
    """Utility: 0 is random at 2.5 % of the pool, 1 about what training on everything gains over it."""

    mean: float
    sd: float
    sources: int  # that have tried the method itself or a relative


@dataclass(frozen=True)
class Prior:
    """Lines of many sources."""

    lines: tuple[Line, ...]

    @classmethod
    def published(cls) -> Prior:
        """The table shipped with the package."""
        with (files("thresher.planning") / "published.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        return cls(tuple(map(_line, rows)))

    @classmethod
    def of(cls, panels: Iterable[Panel]) -> Prior:
        """From panels of results."""
        return cls(tuple(line for panel in panels for line in lines_of(panel)))

    def __add__(self, other: Prior) -> Prior:
        return Prior((*self.lines, *other.lines))

    def guess(
        self, method: str, fraction: float, *, model_params: float | None = None, scorer_params: float | None = None
    ) -> Guess:
        """What to expect of a method at a share of the pool."""
        if method == "full":
            method, fraction = PLAIN, 1.0
        plain = [line for line in self._of(PLAIN) if line.covers(fraction)] or self._of(PLAIN)
        if not plain:
            plain = [Line("nobody", PLAIN, ((BASE, 0.0), (1.0, 1.0)))]
        climb, climb_sd = _mean([(_weight(line, model_params, None), line.at(fraction)) for line in plain], 0.0, CLIMB)
        if method == PLAIN:
            return Guess(climb, climb_sd, len(plain))
        tried = self._of(method)
        leads = [(_weight(line, model_params, scorer_params), line.at(fraction)) for line in tried]
        if not leads:
            return Guess(climb, math.hypot(climb_sd, UNTRIED * _room(fraction)), 0)
        lead, sd = _mean(leads, DOUBT, SPREAD)
        return Guess(climb + lead, math.hypot(climb_sd, sd * _room(fraction)), len({line.source for line in tried}))

    @cached_property
    def _by_method(self) -> dict[str, list[Line]]:
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.method, []).append(line)
        return found

    def _of(self, method: str) -> list[Line]:
        """Lines of the method, else of a relative, else of its family's bare name."""
        names = (method, RELATIVES.get(method, ""), method.partition(":")[0])
        return next((self._by_method[name] for name in names if name in self._by_method), [])


def _room(fraction: float) -> float:
    """How much a choice can matter: all of it up to 2.5 % of the pool, nothing at the whole."""
    return min(1.0, math.log(1 / max(fraction, 1e-12)) / math.log(40))


def _weight(line: Line, model_params: float | None, scorer_params: float | None) -> float:
    away = 0.0
    for one, other in ((model_params, line.model_params), (scorer_params, line.scorer_params)):
        if one and other:
            away += (math.log10(one / other) / BANDWIDTH) ** 2
    return line.weight * max(FLOOR, math.exp(-away / 2))


def _mean(weighted: Sequence[tuple[float, float]], doubt: float, spread: float) -> tuple[float, float]:
    """Mean, and the spread that the next source would show around it."""
    total = sum(w for w, _ in weighted)
    if total <= 0:
        return 0.0, spread
    scale = total if total > FLOOR * len(weighted) * 1.001 else 1.0  # all far away: equally far
    mean = sum(w * x for w, x in weighted) / (total + doubt * min(1.0, scale))
    between = sum(w * (x - mean) ** 2 for w, x in weighted) / total
    effective = total**2 / sum(w * w for w, _ in weighted)
    return mean, math.sqrt((spread**2 + effective * between) / (1 + effective) * (1 + 1 / effective))


def _line(row: dict[str, str]) -> Line:
    points = [(float(name[2:]), float(value)) for name, value in row.items() if name.startswith("f=") and value]
    number = {name: float(row[name]) if row[name] else None for name in ("model_params", "scorer_params")}
    return Line(row["source"], row["method"], tuple(points), **number)
