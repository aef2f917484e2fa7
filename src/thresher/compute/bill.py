"""What measuring several signals costs, and what it did cost, with nothing billed twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from thresher.core.cost import Cost, Load, Receipt
from thresher.core.method import Signal
from thresher.core.pool import Pool
from thresher.core.target_rows import target_rows


def price_of(signals: Sequence[Signal], pool: Pool, target: Pool | None) -> Cost:
    """What measuring costs; a signal that several are computed from is billed once."""
    found = measured_by(signals, pool, target)
    return Cost.total(signal.cost(signal.sizes(rows, near)) for signal, rows, near in found)


def measured_by(
    signals: Sequence[Signal], pool: Pool, target: Pool | None
) -> list[tuple[Signal, Pool, Pool | None]]:
    """Every signal that is measured for these, its own inner ones with it, once; over which rows, near which.

    Near those rows of the target that are read, which the signals of one method agree about.

    Raises:
        PoolError: the target has no such row.
    """  # noqa: DOC502
    distinct: list[tuple[Signal, Pool, Pool | None]] = []
    target = target_rows(signals, target).rows
    for signal in signals:
        one: Signal | None = signal
        rows, near = pool, target
        while one is not None:
            if not any(one == known and rows.fingerprint == over.fingerprint for known, over, _ in distinct):
                distinct.append((one, rows, near))
            if one.inner_over == "target" and target is not None:
                rows, near = target, None
            one = one.inner()
    return distinct


def charged_flops(receipts: Iterable[Receipt], *, uses: int = 1) -> float:
    """FLOPs of a method's receipts; what it shares is charged fully, or split over the `uses` methods that share it."""
    return sum(receipt.flops / (uses if receipt.shared else 1) for receipt in receipts)


def sizes(signals: Sequence[Signal], pool: Pool, target: Pool | None) -> Load:
    """What a selector's price depends on."""
    target = target_rows(signals, target).rows
    loads = [signal.sizes(pool, target) for signal in signals]
    return Load(
        n=len(pool), tokens=0, q=len(target) if target is not None else 0, d=max((load.d for load in loads), default=0)
    )


def receipts(measured: Iterable[Mapping[str, Receipt]]) -> list[Receipt]:
    """Each measurement once, also where two signals rest on it; as it was first met."""
    found: dict[str, Receipt] = {}
    for by_key in measured:
        for key, receipt in by_key.items():
            found.setdefault(key, receipt)
    return list(found.values())
