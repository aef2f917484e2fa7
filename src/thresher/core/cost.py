"""Sizes in, work out, and the receipt of work that was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Load:
    """The sizes a price depends on; tokens are counted, never rows times a limit.

    `square` is the sum over rows of tokens squared: attention's part of a forward pass needs it.
    """

    n: int
    tokens: int
    answer_tokens: int = 0
    square: float = 0.0
    answer_square: float = 0.0
    q: int = 0
    target_tokens: int = 0
    target_answer_tokens: int = 0
    target_square: float = 0.0
    d: int = 0
    k: int = 0


@dataclass(frozen=True)
class Cost:
    """Work before it is time or money."""

    flops: float = 0.0
    cpu_seconds: float = 0.0
    disk_bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @classmethod
    def total(cls, costs: Iterable[Cost]) -> Cost:
        """The sum of many costs."""
        return sum(costs, start=cls())


@dataclass(frozen=True)
class Receipt:
    """What one stage did: the price said before it ran, and what was counted while it ran.

    `flops` counts the batches that really ran, padding included; `estimated_flops` is the price before.
    """

    stage: str
    estimated_flops: float = 0.0
    flops: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tokens: int = 0
    peak_bytes: int = 0
    device: str = "cpu"
    kind: str = "forward"  # the kind of work, for calibration: forward, train, generate, cpu
    shared: bool = False  # paid for by an earlier command and read from the store
    halved: int = 0  # batches that did not fit into memory and were done in two halves

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Receipt:
        """The inverse of `to_dict`; unknown keys are ignored."""
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    @classmethod
    def merge(cls, stage: str, receipts: Iterable[Receipt], estimated_flops: float = 0.0) -> Receipt:
        """One receipt for a stage that ran in parts: sums, and the largest peak."""
        parts = list(receipts)
        return cls(
            stage=stage,
            estimated_flops=estimated_flops,
            flops=sum(p.flops for p in parts),
            seconds=sum(p.seconds for p in parts),
            cpu_seconds=sum(p.cpu_seconds for p in parts),
            tokens=sum(p.tokens for p in parts),
            peak_bytes=max((p.peak_bytes for p in parts), default=0),
            device=parts[0].device if parts else "cpu",
            kind=parts[0].kind if parts else "forward",
            halved=sum(p.halved for p in parts),
        )
