"""Which sources of a pool lie closest to a target: transport costs from a sample of each, before any row is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Int

from thresher.compute import flops, meter
from thresher.compute.local import Mapper
from thresher.core.cost import Cost, Receipt
from thresher.core.method import Signal, name_of
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.core.target_rows import target_rows
from thresher.errors import FieldError, PoolError
from thresher.pipeline import measure
from thresher.signals._sweeps import Source
from thresher.signals._transport import Settings, mean_of_cost, solve
from thresher.signals._weights import drawn_by_id
from thresher.signals.got_d import GotD


@dataclass(frozen=True, kw_only=True)
class Domains:
    """How sources are compared, and what of the closest ones stays.

        cost_s = the regularised transport cost of a sample of source s to the target, epsilon in units of the mean
                 cost over all sources, so that costs compare

    Source:  Kang et al. 2024, arXiv:2405.02774 (hierarchical selection over candidate domains).
    Differs: epsilon is relative and common; candidates may be shared out by closeness.
    Cost:    the feature of the samples and the target; sources x passes x X(rows, q, d).
    """

    keep: Annotated[int, "sources, the closest"] = 2
    rows: Annotated[int, "of the sample from each source, drawn by id"] = 10_000
    candidates: Annotated[int | None, "rows drawn from the sources kept, to choose among; None takes all"] = None
    share: Annotated[Literal["equal", "closeness"], "candidates per source: as many, or by 1 / cost"] = "equal"
    seed: Annotated[int, "of the draws"] = 0

    def __post_init__(self) -> None:
        """Numbers must be possible.

        Raises:
            FieldError: one is not.
        """
        for name in ("keep", "rows", "candidates"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FieldError(f"domains.{name} must be at least 1, and is {value}.")


@dataclass(frozen=True)
class Relevance:
    """How far one source is from the target."""

    source: str
    rows: int
    sampled: int
    cost: float
    marginal_error: float
    sweeps: int
    converged: bool
    kept: bool = False
    candidates: int = 0


@dataclass(frozen=True)
class Closest:
    """The sources in order, closest first, and what finding out cost."""

    table: tuple[Relevance, ...]
    excluded: Mapping[int, str]  # rows that are no candidates, with the reason
    receipts: tuple[Receipt, ...]
    estimate: Cost
    feature: str
    mean_cost: float = 0.0
    how: Domains = field(default_factory=Domains)

    def to_dict(self) -> dict[str, Any]:
        """For the card and the command line."""
        return {
            "feature": self.feature,
            "mean_cost": self.mean_cost,
            "how": asdict(self.how),
            "sources": [asdict(line) for line in self.table],
        }


def closest(
    pool: Pool, target: Pool, feature: Signal, *, settings: Settings, how: Domains, store: Store,
    excluded: Mapping[int, str] | None = None, mapper: Mapper | None = None, allow_unconverged: bool = False,
) -> Closest:  # fmt: skip
    """Transport cost of every source to the target, and the candidates that are left.

    Args:
        pool: n rows with a source each.
        target: q rows.
        feature: what rows are compared in.
        settings: of the solver.
        how: samples and what is kept.
        store: where the samples' features rest.
        excluded: rows that cannot be chosen anyway.
        mapper: how features are worked through.
        allow_unconverged: rank by costs that missed the tolerance, too.

    Raises:
        PoolError: rows without a source, a source without rows, fewer sources than are to be kept, or a target without
            a row that has anything to read.
        Unconverged: a source's cost missed the tolerance.
    """
    read = target_rows([GotD(of=feature)], target)
    read.warn()
    assert read.rows is not None, "there is a target"
    target, groups = read.rows, rows_of(pool, excluded or {})
    if how.keep > len(groups):
        raise PoolError(
            f"the {how.keep} closest sources are to be kept, and {pool.name} has {len(groups)}: "
            f"{', '.join(groups)}. Set domains.keep lower."
        )
    samples = {name: rows[_drawn(pool, rows, how.rows, f"{how.seed}/domains/")] for name, rows in groups.items()}
    union = np.sort(np.concatenate(list(samples.values())))
    sample = pool if len(union) == len(pool) else pool.take(union)  # the whole pool is measured once for all
    estimate = price(feature, sample, target, len(groups), how, settings)
    measured = measure(feature, sample, target, store=store, mapper=mapper)
    with meter.block("domains", kind="cpu", estimated_flops=estimate.flops) as block:
        near = feature.measure(feature.prepare(sample, target, store.own(measured.bottom)), target)  # (q, d)
        mu = np.full(len(near), 1.0 / len(near))
        mean_cost = mean_of_cost(Source(measured.values), near, mu, settings.ground)
        lines = []
        for name, rows in samples.items():
            source = Source(measured.values, np.searchsorted(union, np.sort(rows)))
            found = solve(source, near, settings=settings, mean_cost=mean_cost)
            if not allow_unconverged:
                found.require()
            size = len(groups[name])
            lines.append(Relevance(name, size, len(rows), found.distance, found.error, found.sweeps, found.converged))
    lines.sort(key=lambda line: (line.cost, line.source))
    table, left_out = _candidates(pool, groups, lines, how)
    receipts = (*measured.receipts().values(), block.receipt())
    return Closest(tuple(table), left_out, receipts, estimate, name_of(feature), mean_cost, how)


def rows_of(pool: Pool, excluded: Mapping[int, str]) -> dict[str, Int[np.ndarray, " m"]]:
    """Source -> its rows that can be chosen.

    Raises:
        PoolError: rows without a source, or a source without rows.
    """
    group = pool.group_index()
    if (group < 0).any():
        missing = np.flatnonzero(group < 0)
        raise PoolError(
            f"{pool.name}: {len(missing)} of {len(pool)} rows have no source, first {pool.take(missing[:3]).ids()}. "
            "Name the column with --group."
        )
    free = np.ones(len(pool), bool)
    free[list(excluded)] = False
    found = {name: np.flatnonzero((group == i) & free) for i, name in enumerate(pool.group_names)}
    for name, rows in found.items():
        if len(rows) == 0:
            reason = next(excluded[int(row)] for row in np.flatnonzero(group == pool.group_names.index(name)))
            raise PoolError(
                f"{pool.name}: the source {name!r} has no rows that can be chosen ({reason}). Leave it out with --only."
            )
    return found


def price(
    feature: Signal, sample: Pool, target: Pool, sources: int, how: Domains, settings: Settings
) -> Cost:
    """The samples' features, the target's, and the passes; these are a guess from epsilon."""
    sizes = feature.sizes(sample, None)
    rows = min(how.rows, len(sample))
    passes = 0.5 / settings.epsilon if settings.relative else 20.0
    products = sources * (flops.inner(rows, len(target), sizes.d) + 4.0 * passes * rows * len(target))
    return feature.cost(sizes) + feature.reading_cost(feature.sizes(target, None)) + Cost(flops=products)


def _drawn(pool: Pool, rows: Int[np.ndarray, " m"], most: int, salt: str) -> Int[np.ndarray, " k"]:
    """Places in `rows`, drawn by id."""
    return drawn_by_id(pool.take(rows), most, salt)


def _candidates(
    pool: Pool, groups: Mapping[str, np.ndarray], lines: Sequence[Relevance], how: Domains
) -> tuple[list[Relevance], dict[int, str]]:
    """The table with what is kept, and every other row with its reason."""
    kept = list(lines[: how.keep])
    shares = _shares(kept, how)
    table, left_out = [], {}
    names = ", ".join(line.source for line in kept)
    for line in lines:
        rows = groups[line.source]
        if line not in kept:
            reason = f"its source {line.source} is not among the closest to the target ({names})"
            left_out.update(dict.fromkeys(map(int, rows), reason))
            table.append(line)
            continue
        drawn = rows
        if how.candidates is not None:
            drawn = rows[_drawn(pool, rows, round(shares[line.source] * how.candidates), f"{how.seed}/candidates/")]
            reason = f"not drawn among the {how.candidates:,} candidates of the closest sources"
            left_out.update(dict.fromkeys(map(int, np.setdiff1d(rows, drawn)), reason))
        table.append(Relevance(**{**asdict(line), "kept": True, "candidates": len(drawn)}))
    return table, left_out


def _shares(kept: Sequence[Relevance], how: Domains) -> dict[str, float]:
    weight = np.array([1.0 if how.share == "equal" else 1.0 / max(line.cost, 1e-12) for line in kept])
    return {line.source: float(w) for line, w in zip(kept, weight / weight.sum(), strict=True)}
