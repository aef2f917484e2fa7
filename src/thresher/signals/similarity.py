"""How close each row is to each target row, by any feature."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from thresher.compute import flops, meter
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal, describe, name_of
from thresher.core.pool import Pool
from thresher.errors import KindError, PoolError
from thresher.signals._cosine import group_means, unit
from thresher.signals._texts import group_texts
from thresher.signals.hashed_ngrams import HashedNgrams

SECONDS_PER_FLOP = 1e-10  # products of small matrices, one thread


@dataclass(frozen=True)
class Near:
    """The target's side, measured in prepare."""

    inner: Any  # the feature signal's own state
    target: Float32[np.ndarray, "q d"]  # of length one, or means of such
    truncated: float | None  # share of target rows that were cut


@dataclass(frozen=True, kw_only=True)
class Similarity(Signal):
    """Cosine of a row's feature with the same feature of each target row; zero where one of them is zero.

        a_iz = x_i x_z / (|x_i| |x_z|)

    Source:  Yin & Rush 2025, arXiv:2410.16208; Ivison et al. 2025, arXiv:2503.01807.
    Differs: the feature is another signal's, measured once for all methods that use it.
    Cost:    the feature of the target, and all inner products; the pool's feature is billed as its own signal.
    """

    of: Annotated[Signal, "the feature"] = field(default_factory=HashedNgrams)
    target_of: Annotated[Signal | None, "the feature as the target is read, where that differs: a prefix, say"] = None
    join_groups: Annotated[bool, "one text a target group: its rows in chat markers, joined"] = False
    per: Annotated[Literal["row", "group"], "a column for each target row, or the mean over each target group"] = "row"
    max_bytes: Annotated[float, "refuse to write more than this"] = 16e9

    kind: ClassVar[Kind] = "affinity"
    version: ClassVar[int] = 2  # where some rows of the target have no group, their column comes first
    needs_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Only features can be compared.

        Raises:
            KindError: something else was given.
        """
        for signal in (self.of, self.target_of or self.of):
            if signal.kind != "feature":
                raise KindError(f"similarity compares features, and {name_of(signal)} measures a {signal.kind}.")

    @property
    def per_group(self) -> bool:  # type: ignore[override]
        """Whether columns are target groups already."""
        return self.join_groups or self.per == "group"

    @property
    def reads_origin(self) -> bool:  # type: ignore[override]
        """As its feature."""
        return self.of.reads_origin

    def inner(self) -> Signal:
        """The pool's feature."""
        return self.of

    def identity(self) -> dict[str, str]:
        """Both features by what changes their values; the budget changes none."""
        both = [signed(self.of), signed(self.target_of or self.of)]
        return {"of": both[0], "target_of": both[1], "max_bytes": ""}

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Rows, columns, and the target as its feature counts it."""
        assert target is not None, "similarity needs a target: needs_target says so"
        read = self._read(target)
        near = (self.target_of or self.of).sizes(read, None)
        columns = len(target.group_names) + int((target.group_index() < 0).any()) if self.per_group else len(target)
        return Load(
            n=len(pool), tokens=0, q=len(read), target_tokens=near.tokens, target_square=near.square,
            d=near.d, k=columns,
        )  # fmt: skip

    def cost(self, load: Load) -> Cost:
        """What comes on top of the pool's feature."""
        side = Load(n=load.q, tokens=load.target_tokens, square=load.target_square, d=load.d)
        near = (self.target_of or self.of).reading_cost(side)
        products = flops.inner(load.n, load.k, load.d)
        return near + Cost(flops=products, cpu_seconds=products * SECONDS_PER_FLOP, disk_bytes=4.0 * load.n * load.k)

    def usable(self, pool: Pool) -> np.ndarray | None:
        """(n,) rows with a feature."""
        return self.of.usable(pool)

    def usable_target(self, target: Pool) -> np.ndarray | None:
        """(q,) rows with a feature; where groups are joined, rows of such a group."""
        usable = (self.target_of or self.of).usable(self._read(target))
        if usable is None or not self.join_groups:
            return usable
        return usable[np.unique(target.group_index(), return_inverse=True)[1]]

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Near:
        """The target's feature.

        Raises:
            PoolError: the affinities would be larger than `max_bytes`.
            KindError: the target's feature has another dimension than the pool's.
        """
        assert target is not None, "similarity needs a target: needs_target says so"
        self._fits(pool, target)
        signal, read = self.target_of or self.of, self._read(target)
        inner = self.of.prepare(pool, target, folder)
        own = inner if self.target_of is None else signal.prepare(pool, target, folder)
        near = unit(signal.measure(own, read), read)
        columns = group_means(near, target) if self.per == "group" and not self.join_groups else near
        return Near(inner, columns, signal.truncated(read))

    def account(self, state: Near) -> dict[str, Any]:
        """The feature's, and the share of target rows that its window cut."""
        return {"of": self.of.account(state.inner), "target_truncated": state.truncated}

    def measure(self, state: Near, rows: Pool) -> Float32[np.ndarray, "b q"]:
        """(b, q) every row against every target row, or group."""
        return self.measure_over(state, rows, self.of.measure(state.inner, rows))

    def measure_over(self, state: Near, rows: Pool, values: np.ndarray) -> Float32[np.ndarray, "b q"]:
        """The same from stored features.

        Raises:
            KindError: they have another dimension than the target's.
        """
        d = state.target.shape[1]
        if values.shape[1] != d:
            raise KindError(
                f"the pool's {name_of(self.of)} has {values.shape[1]} dimensions and the target's has {d}: another "
                "encoder measured one of them. Name one encoder for both, or measure the pool again in another --store."
            )
        meter.count(flops=flops.inner(len(rows), len(state.target), d))
        return unit(np.asarray(values, np.float32), rows) @ state.target.T

    def _read(self, target: Pool) -> Pool:
        """The target as it is read: as it is, or a text a group."""
        if not self.join_groups:
            return target
        rows = [[{"role": "text", "content": text}] for text in group_texts(target)]
        return Pool.from_messages(rows, name=target.name)

    def _fits(self, pool: Pool, target: Pool) -> None:
        sizes = self.sizes(pool, target)
        wanted = 4.0 * sizes.n * sizes.k
        if wanted > self.max_bytes:
            by_group = "" if self.per_group else f", set per = group ({sizes.n:,} x the target's groups)"
            raise PoolError(
                f"affinities of {sizes.n:,} rows to {sizes.k:,} targets are {wanted:.3g} bytes, and max_bytes is "
                f"{self.max_bytes:.3g}. To make it fit take fewer target rows{by_group}, or raise max_bytes."
            )


def signed(signal: Signal) -> str:
    """A signal by its fields, and by what stands for those that name a model."""
    identity = signal.identity()
    about = describe(signal)
    fields = {k: v for k, v in about["fields"].items() if k not in identity}  # type: ignore[attr-defined]
    return json.dumps({**about, "fields": fields, "identity": identity}, sort_keys=True, ensure_ascii=False)
