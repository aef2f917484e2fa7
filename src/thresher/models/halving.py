"""Batches that do not fit into memory: done in two halves, once, said and put on the receipt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int

from thresher.compute import meter
from thresher.errors import ModelError

log = logging.getLogger(__name__)
Rows = Int[np.ndarray, " b"]
Found = TypeVar("Found")


def each(batches: Iterable[Rows], run: Callable[[Rows], Found]) -> Iterator[tuple[Rows, Found]]:
    """(rows, what `run` gives for them) of every batch; of one that does not fit, of its two halves.

    What a row gives does not depend on its batch, so the values stay; the work that failed is not counted.

    Raises:
        ModelError: a single row, or half of a batch, does not fit either.
    """
    for rows in batches:
        found = tried(lambda rows=rows: run(rows))
        if found is not None:
            yield rows, found[0]
            continue
        said(len(rows))
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]) if middle else ():
            found = tried(lambda half=half: run(half))
            if found is None:
                break
            yield half, found[0]
        if found is None:
            raise ModelError(
                f"out of memory: {len(rows)} rows did not fit, and neither did half of them. What is finished is kept: "
                "free memory, take a smaller model or window (max_tokens), or fewer --workers, and run it again."
            )


def said(rows: int) -> None:
    """A warning that a batch is halved, and one more on the receipt; what memory is held for nothing is given back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    log.warning("a batch of %d rows did not fit into memory: it is done in two halves", rows)
    meter.count(halved=1)


def tried(run: Callable[[], Found]) -> tuple[Found] | None:
    """What it gave; None where memory ran out. Its frames, and what they hold, are gone then.

    Raises:
        RuntimeError: another fault, as it is.
    """
    try:
        return (run(),)
    except MemoryError:
        return None
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
    return None
