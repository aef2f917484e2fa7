"""What a run trains on after choosing: one stage or two, for as many epochs or as many steps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thresher.core.pool import Pool, prompt_of, text_of
from thresher.core.store import write_bytes
from thresher.core.suggest import unknown
from thresher.errors import RecipeError
from thresher.planning.results import EQUAL_EPOCHS, EQUAL_STEPS
from thresher.training.recipe import Recipe, cut_into_steps

PROTOCOLS = (EQUAL_EPOCHS, EQUAL_STEPS)
_KEYS = ("labelled", "format", "limit", "first", "second")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Rows of one stage of training.

    Attributes:
        rows: files that `data.load_pool` reads, in turn.
        format: what they are read as; None is what they look like.
        recipe: how long and how fast.
        limit: at most so many of them, the same draw for every arm and seed.
    """

    rows: tuple[str, ...]
    format: str | None = None
    recipe: Recipe
    limit: int | None = None

    def drawn(self, pool: Pool) -> Pool:
        """The rows that are trained on, in the file's order."""
        if self.limit is None or self.limit >= len(pool):
            return pool
        return pool.take(np.sort(np.random.default_rng([0, 0x57A6E]).permutation(len(pool))[: self.limit]))


def second_of(values: Mapping[str, Any], folder: Path) -> tuple[Recipe, Stage]:
    """`stages:` of a run: the recipe of stage one, and stage two with its labelled rows.

    Raises:
        RecipeError: an unknown key, or labelled rows missing.
    """
    for name in values:
        if name not in _KEYS:
            raise RecipeError("run: " + unknown("key of stages", str(name), _KEYS))
    labelled = values.get("labelled")
    if not labelled:
        raise RecipeError("run: stages needs `labelled`, the rows that stage two trains on.")
    files = [labelled] if isinstance(labelled, str) else list(labelled)
    beside = tuple(str((folder / name).resolve()) if (folder / name).exists() else str(name) for name in files)
    first = recipe_of(values.get("first"), folder, loss="all")
    second = recipe_of(values.get("second"), folder)
    limit = values.get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise RecipeError(f"run: stages.limit must be a whole number of at least 1, not {limit!r}.")
    return first, Stage(rows=beside, format=values.get("format"), recipe=second, limit=limit)


def recipe_of(value: Any, folder: Path, **defaults: Any) -> Recipe:  # noqa: ANN401
    """A recipe as a run names it: a file beside it, or its fields."""
    return Recipe.read(folder / value) if isinstance(value, str) else Recipe.from_dict({**defaults, **(value or {})})


def protocols_of(values: Mapping[str, Any], recipe: Recipe) -> tuple[tuple[str, ...], int | None]:
    """(protocols, steps of equal-steps where given): equal-epochs, unless the recipe counts in steps.

    Raises:
        RecipeError: an unknown protocol, or steps that cannot be.
    """
    named = values.get("protocols") or (EQUAL_EPOCHS if recipe.steps is None else EQUAL_STEPS)
    named = (named,) if isinstance(named, str) else tuple(map(str, named))
    for name in named:
        if name not in PROTOCOLS:
            raise RecipeError("run: " + unknown("protocol", name, PROTOCOLS))
    steps = values.get("steps", recipe.steps)
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise RecipeError(f"run: steps must be a whole number of at least 1, not {steps!r}.")
    if values.get("steps") is not None and EQUAL_STEPS not in named:
        raise RecipeError(f"run: steps belong to the protocol {EQUAL_STEPS}. Name it under `protocols`.")
    return tuple(dict.fromkeys(named)), steps


def longest_training(recipe: Recipe, sizes: Iterable[int]) -> int:
    """Steps of the largest subset under equal epochs: what every subset is then trained for."""
    return cut_into_steps(recipe.with_steps(None), max(sizes))[2]


def protocol_name(protocol: str, second: Stage | None) -> str:
    """As the results table says it: runs of two stages are no runs of one."""
    return protocol if second is None else f"{protocol}, two stages"


def recipe_under(protocol: str, recipe: Recipe, steps: int | None, order: str | None) -> Recipe:
    """The recipe of the chosen rows."""
    found = recipe.with_steps(steps if protocol == EQUAL_STEPS else None)
    return found if order is None else replace(found, order=order)


def unlabelled(target: Pool, path: Path) -> Path:
    """The target's own text without its answers, a text a row: what task-adaptive pre-training reads."""
    rows = [{"id": name, "text": prompt_of(row) or text_of(row)} for name, row in _named(target)]
    write_bytes(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return path


def _named(pool: Pool) -> Sequence[tuple[str, Any]]:
    return list(zip(pool.ids(), pool.messages(), strict=True))
