"""A folder is a registry: the file name is the method's name, everywhere."""

from __future__ import annotations

import inspect
from dataclasses import fields
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from thresher.core.method import Selector, Signal
from thresher.core.suggest import unknown
from thresher.errors import UnknownName

_BASE: dict[str, type] = {"signals": Signal, "selectors": Selector}


def names(folder: str) -> list[str]:
    """What a folder offers, without importing any of it; other packages join by entry points."""
    here = Path(__file__).parents[1] / folder
    own = {path.stem for path in here.glob("*.py") if not path.stem.startswith("_")}
    return sorted(own | {point.name for point in entry_points(group=f"thresher.{folder}")})


def get(folder: str, name: str) -> Any:  # noqa: ANN401 - a class of Signal or Selector
    """The class called `name`; imports that one file.

    Raises:
        UnknownName: no such file; the message has the nearest names.
    """
    for point in entry_points(group=f"thresher.{folder}"):
        if point.name == name:
            return point.load()
    if name not in names(folder):
        raise UnknownName(unknown(folder.rstrip("s"), name, names(folder)))
    module = import_module(f"thresher.{folder}.{name}")
    return public_class(module, _BASE[folder])


def public_class(module: object, base: type) -> type:
    """The one concrete method of a module."""
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__  # type: ignore[attr-defined]
    ]
    assert len(found) == 1, f"{module} must define exactly one {base.__name__}, has {found}"
    return found[0]


def build(folder: str, name: str, **values: object) -> Any:  # noqa: ANN401
    """An instance with these fields.

    Raises:
        UnknownName: no such method, or it has no such field.
    """
    cls = get(folder, name)
    known = [f.name for f in fields(cls)]
    for field in values:
        if field not in known:
            raise UnknownName(unknown(f"field of {name}", field, known))
    return cls(**values)
