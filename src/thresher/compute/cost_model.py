"""Work -> seconds, GPU-hours, dollars; and the price of training on each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Int

from thresher.compute.hardware import Hardware
from thresher.core.budget import Unit
from thresher.core.cost import Cost, Receipt
from thresher.core.suggest import unknown
from thresher.errors import UnknownName

# Shares of the 16-bit peak that well-kept code reaches on one accelerator: long batches read forward do best,
# a backward pass adds memory traffic, and decoding a token at a time waits for memory. Rules of thumb, to be
# replaced by `calibrate` as soon as one receipt is there.
ACHIEVED: Mapping[str, float] = MappingProxyType(
    {"forward": 0.4, "train": 0.35, "generate": 0.05, "cpu": 0.4}
)


@dataclass(frozen=True)
class CostModel:
    """How fast a device really does each kind of work.

    CostModel(get("h100-sxm")).seconds(Cost(flops=1e18), "train")
    """

    hardware: Hardware
    # share of the peak reached, per kind of work
    achieved: Mapping[str, float] = field(default_factory=lambda: dict(ACHIEVED))

    def seconds(self, cost: Cost, kind: str = "forward") -> float:
        """Wall time on one device: its FLOPs at the share of peak this kind reaches, then its processor time.

        Raises:
            UnknownName: no such kind of work.
        """
        return cost.flops / self.rate(kind) + cost.cpu_seconds

    def rate(self, kind: str) -> float:
        """FLOP/s reached in this kind of work.

        Raises:
            UnknownName: a name that does not exist.
        """
        if kind not in self.achieved:
            raise UnknownName(unknown("kind of work", kind, self.achieved))
        return self.achieved[kind] * self.hardware.peak_flops

    def in_unit(self, cost: Cost, unit: Unit, kind: str = "forward") -> float:
        """What this work takes from a budget in this unit.

        FLOPs leave processor time out; hours and dollars bill it, since the device waits. Rows and tokens pay
        for training only, so work costs none of them.
        """
        if unit == "flops":
            return cost.flops
        if unit == "gpu_hours":
            return self.seconds(cost, kind) / 3600
        if unit == "usd":
            return self.seconds(cost, kind) / 3600 * self.hardware.usd_per_hour
        return 0.0

    @classmethod
    def calibrate(cls, hardware: Hardware, receipts: Iterable[Receipt]) -> CostModel:
        """Take each kind's share of peak from work that was done: all its FLOPs over all its seconds.

        Receipts that were shared, or counted no FLOPs or seconds, say nothing; kinds without any keep the
        default.
        """
        done: dict[str, tuple[float, float]] = {}
        for receipt in receipts:
            if not receipt.shared and receipt.flops > 0 and receipt.seconds > 0:
                flops, seconds = done.get(receipt.kind, (0.0, 0.0))
                done[receipt.kind] = (flops + receipt.flops, seconds + receipt.seconds)
        measured = {kind: flops / seconds / hardware.peak_flops for kind, (flops, seconds) in done.items()}
        return cls(hardware, {**ACHIEVED, **measured})

    def priced(self, usd_per_hour: float) -> CostModel:
        """The same device at your own price."""
        return replace(self, hardware=replace(self.hardware, usd_per_hour=usd_per_hour))


def price(
    unit: Unit,
    tokens: Int[np.ndarray, " n"],
    train_flops: Float[np.ndarray, " n"],
    model: CostModel,
) -> Float[np.ndarray, " n"]:
    """What training on each row takes from a budget: ones, tokens, FLOPs, hours or dollars."""
    if unit == "examples":
        return np.ones(len(tokens))
    if unit == "tokens":
        return tokens.astype(np.float64)
    per_flop = model.in_unit(Cost(flops=1.0), unit, "train")
    return train_flops.astype(np.float64) * per_flop
