"""Which rows of a target are read: those with nothing to read are left out, which is said and written down."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool

from thresher.core.method import Signal, chain, name_of
from thresher.core.pool import Pool
from thresher.errors import PoolError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TargetRows:
    """A target as it is read."""

    rows: Pool | None  # the q rows that are read; the target itself where that is all of them
    left_out: tuple[str, ...] = ()  # ids of the others
    warning: str = ""  # what to say of them

    def warn(self) -> None:
        """Say what was left out, if anything was."""
        if self.warning:
            log.warning("%s", self.warning)


def target_rows(signals: Sequence[Signal], target: Pool | None, *, by_group: bool = False) -> TargetRows:
    """The target rows that the signals of a method, and those they are computed from, can all read.

    Args:
        signals: of one method.
        target: q rows; None stays None.
        by_group: columns are target groups, also where the signals' own are rows.

    Raises:
        PoolError: no row is left, or none of a target group where groups are columns.
    """
    if target is None:
        return TargetRows(None)
    usable, windows = np.ones(len(target), bool), dict[str, int]()
    for signal in (one for first in signals for one in chain(first)):
        own = signal.usable_target(target)
        if own is not None and not own.all():
            usable &= own
            windows.update(_windows(signal))
    if usable.all():
        return TargetRows(target)
    _refuse(target, usable, windows, by_group or any(signal.per_group for signal in signals))
    gone = np.flatnonzero(~usable)
    left_out = tuple(target.take(gone).ids())
    cure = f". To have them read raise {' and '.join(windows)}" if windows else ""
    said = (
        f"{target.name}: {len(gone)} of {len(target)} target rows have nothing to read{_within(windows)} and are left "
        f"out, first id {left_out[0]!r}{cure}"
    )
    return TargetRows(target.take(np.flatnonzero(usable)), left_out, said)


def _refuse(target: Pool, usable: Bool[np.ndarray, " q"], windows: Mapping[str, int], by_group: bool) -> None:
    """Nothing, where enough is left.

    Raises:
        PoolError: no row is left, or none of a target group where groups are columns.
    """
    group = target.group_index()
    bare = np.setdiff1d(group, group[usable])
    if not usable.any():
        raise PoolError(
            f"{target.name}: none of {len(target)} target rows has anything to read{_within(windows)}, first id "
            f"{target.ids()[0]!r}. {_way_out(windows, 'name another target')}"
        )
    if by_group and bare.size:
        first = target.take(np.flatnonzero(group == bare[0])[:1]).ids()[0]
        raise PoolError(
            f"{target.name}: {len(bare)} of {len(np.unique(group))} target groups have no row with anything to read"
            f"{_within(windows)}, first that of {first!r}. {_way_out(windows, 'leave the group out')}"
        )


def _within(windows: Mapping[str, int]) -> str:
    """` within 512 tokens (rds.max_tokens)`, or nothing."""
    if not windows:
        return ""
    return f" within {' and '.join(f'{n:,}' for n in windows.values())} tokens ({' and '.join(windows)})"


def _way_out(windows: Mapping[str, int], other: str) -> str:
    return f"Raise {' and '.join(windows)}, or {other}." if windows else f"{other.capitalize()}."


def _windows(signal: Signal) -> Iterator[tuple[str, int]]:
    """(field, tokens that are read of a row) of a signal and of those in its fields."""
    for one in fields(signal):
        value = getattr(signal, one.name)
        if isinstance(value, Signal):
            yield from _windows(value)
        elif one.name == "max_tokens" and value:
            yield f"{name_of(signal)}.max_tokens", value
