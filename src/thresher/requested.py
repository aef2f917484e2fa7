"""What a selection's card asks for, read back: it may have been cut off, edited by hand, or be a stranger's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from thresher.core.field_value import fitted
from thresher.errors import RecipeError, StoreError
from thresher.setting import Sources
from thresher.training.recipe import Recipe

LISTS = ("target", "only")  # of Sources, texts all


@dataclass(frozen=True)
class Requested:
    """All that is needed to choose the same rows again, and to know them."""

    thresher: str
    method: str
    seed: int
    budget: str
    sources: Sources
    recipe: Recipe
    overrides: Mapping[str, object]
    fingerprints: Mapping[str, str]  # of the pool, and of the target where there was one
    weights: Mapping[str, str]  # of model, scorer and encoder, those there were
    sha256: Mapping[str, str]  # of the files that were left


def read(path: Path) -> Requested:
    """A card.json.

    Raises:
        StoreError: there is none, or it is not a selection's card.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"there is no card {path}. A selection's folder has one: card.json.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not a card: {error}.") from None
    try:
        return _requested(told)
    except (ValueError, RecipeError) as error:
        raise StoreError(f"{path} is not a card of a selection: {str(error).rstrip('.')}.") from None


def _requested(told: Any) -> Requested:  # noqa: ANN401 - whatever JSON holds
    request = _field(told, "request", dict)
    seed = _field(told, "seed", int)
    if seed < 0:
        raise ValueError(f"its seed must not be below zero, and is {seed}")
    sums = _field(told, "sha256", dict)
    sha256 = {name: _field(sums, name, str) for name in {"selected.jsonl", *sums}}
    others = {name: told[name] for name in ("target", "model", "scorer", "encoder") if told.get(name) is not None}
    fingerprints = {"pool": _field(_field(told, "pool", dict), "fingerprint", str)}
    if "target" in others:
        fingerprints["target"] = _field(others.pop("target"), "fingerprint", str)
    return Requested(
        thresher=_field(told, "thresher", str),
        method=_field(told, "method", str),
        seed=seed,
        budget=_field(request, "budget", str),
        sources=_sources(_field(request, "sources", dict)),
        recipe=Recipe.from_dict(_field(request, "recipe", dict)),
        overrides=_field(request, "overrides", dict),
        fingerprints=fingerprints,
        weights={name: _field(one, "sha256", str) for name, one in others.items()},
        sha256=sha256,
    )


def _sources(told: Mapping[str, Any]) -> Sources:
    hints = get_type_hints(Sources)
    made: dict[str, Any] = {}
    for name, value in told.items():
        if name not in hints:
            raise ValueError(f"its sources have no {name!r}")
        if name in LISTS:
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise ValueError(f"its {name} must be a list of texts, not {value!r}")
            made[name] = tuple(value)
        else:
            made[name] = _field(told, name, hints[name])
    _field(made, "pool", str)
    return Sources(**made)


def _field(told: object, name: str, hint: Any) -> Any:  # noqa: ANN401 - of whatever kind
    """What stands under a name.

    Raises:
        ValueError: nothing does, or something of another kind.
    """
    if not isinstance(told, Mapping):
        raise ValueError(f"where {name!r} is looked for there is no object but {told!r:.50}")
    if name not in told:
        raise ValueError(f"it has no {name!r}")
    try:
        return fitted(hint, told[name])
    except ValueError as error:
        raise ValueError(f"its {name} {error}") from None
