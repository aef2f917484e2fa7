"""A number the user's own rows carry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.core.suggest import unknown
from thresher.errors import NonFinite, PoolError


@dataclass(frozen=True, kw_only=True)
class Column(Signal):
    """The value of a column, or the product of two; of lists with a number for each turn, the sum.

        score_i = sum over turns of column_i * times_i

    Source:  Liu et al. 2024 (DEITA), arXiv:2312.15685, for complexity times quality; else the user's own.
    Differs: nothing known.
    Cost:    none.
    """

    column: Annotated[str, "the name of a column of numbers"]
    times: Annotated[str, "the name of another one to multiply it by"] = ""

    kind: ClassVar[Kind] = "score"
    reads_origin: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"column": "number"}

    def cost(self, load: Load) -> Cost:
        """Read from the pool."""
        return Cost()

    def measure(self, state: None, rows: Pool) -> Float[np.ndarray, " b"]:
        """(b,) the numbers.

        Raises:
            PoolError: no such column, or a value that is no number.
            NonFinite: a value that is not finite.
        """
        names, ids = [name for name in (self.column, self.times) if name], rows.ids()
        out = np.empty(len(rows))
        for i, row in enumerate(rows.origin()):
            parts = [_numbers(row, name, ids[i]) for name in names]
            if len({len(part) for part in parts}) > 1:
                raise PoolError(f"row {ids[i]!r}: {self.column} and {self.times} have different numbers of turns.")
            out[i] = sum(math.prod(turn) for turn in zip(*parts, strict=True))
        bad = np.flatnonzero(~np.isfinite(out))
        if bad.size:
            raise NonFinite(
                f"column {self.column!r} is not a finite number in {bad.size} rows, first ids "
                f"{[ids[i] for i in bad[:5]]}. Mend these rows, or leave them out of the pool."
            )
        return out


def _numbers(row: dict, name: str, row_id: str) -> list[float]:
    """One number, or one a turn.

    Raises:
        PoolError: there is none.
    """
    if name not in row:
        raise PoolError(f"row {row_id!r}: {unknown('column', name, row)}")
    values = row[name] if isinstance(row[name], list) else [row[name]]
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError):
        raise PoolError(f"row {row_id!r}: column {name!r} holds {row[name]!r}, which is not a number.") from None
