"""Map a function over the parts of a pool, here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from thresher.core.pool import Pool

Work = Callable[[int, Pool], None]


@runtime_checkable
class Mapper(Protocol):
    """Runs `fn(i, part)` for every part, in any order, anywhere; returns when all are done."""

    def map(self, fn: Work, parts: Iterable[tuple[int, Pool]]) -> None:
        """Run `fn` over all parts; its exceptions reach the caller."""
        ...


@runtime_checkable
class Placer(Protocol):
    """A mapper that also runs whole jobs side by side, each on a slot of its own."""

    def each(self, fn: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """(item, fn(item)) as they finish."""
        ...


@dataclass(frozen=True)
class Local:
    """One part after the other in this process; `progress(i, part)` is called after each."""

    progress: Work | None = None

    def map(self, fn: Work, parts: Iterable[tuple[int, Pool]]) -> None:
        """Run `fn` over the parts in order; the first exception ends it."""
        for i, part in parts:
            fn(i, part)
            if self.progress is not None:
                self.progress(i, part)


@contextmanager
def progress_bar(rows: int, label: str, *, shown: bool = True) -> Iterator[Work]:
    """A bar on stderr that advances by the rows of each part; for `Local(progress=...)`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task(label, total=rows)

        def advance(i: int, part: Pool) -> None:
            bar.advance(task, len(part))

        yield advance
