"""The row's group: its source, subject or any column of the user's; or the prompt it shares with others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.errors import PoolError


@dataclass(frozen=True, kw_only=True)
class Group(Signal):
    """The place of each row's group among the pool's sorted group names; rows without one form their own.

    With `by = "prompt"` rows whose prompts are the same but for case and blanks form a group, whatever its number;
    with "text" rows whose whole text is the same: copies.

    Source:  the balanced baseline of Ivison et al. 2025, arXiv:2503.01807; prompts as Zhang et al. 2025,
             arXiv:2502.04194, compare several answers to one.
    Differs: nothing known.
    Cost:    none.
    """

    by: Annotated[Literal["group", "prompt", "text"], "what makes a group"] = "group"

    kind: ClassVar[Kind] = "label"

    def cost(self, load: Load) -> Cost:
        """Read from the pool."""
        return Cost()

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> tuple[str, ...]:
        """The group names, once for all parts.

        Raises:
            PoolError: no row has a group.
        """
        if self.by != "group":
            return ()
        if not pool.group_names:
            raise PoolError(
                f"{pool.name} has no groups: no column source, group or subject. Name one with --group COLUMN, "
                "or use a method that needs no groups, such as random."
            )
        return tuple(pool.group_names)

    def measure(self, state: tuple[str, ...], rows: Pool) -> np.ndarray:
        """(b,) places in the sorted names, the number of names where a row has none; or 63 bits of the words."""
        if self.by != "group":
            words = rows.prompt() if self.by == "prompt" else rows.text()
            return np.array([_number(one) for one in words], dtype=np.int64)
        place = {name: number for number, name in enumerate(state)}
        groups = rows.table["group"].to_pylist()
        return np.array([len(state) if g is None else place[g] for g in groups], dtype=np.int64)


def _number(text: str) -> int:
    words = " ".join(text.lower().split())
    return int.from_bytes(hashlib.sha256(words.encode("utf-8", "surrogatepass")).digest()[:8], "big") >> 1
