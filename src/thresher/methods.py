"""Named methods: one line of methods.toml each, a signal or two and a selector with the paper's settings."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from thresher.core.suggest import unknown
from thresher.errors import UnknownName


@dataclass(frozen=True)
class Method:
    """A line of methods.toml, nothing imported yet."""

    name: str
    signals: tuple[Mapping[str, Any], ...] = ()
    selector: Mapping[str, Any] = field(default_factory=dict)
    by_group: bool = False
    train: Literal["subset", "all", "none", "target", "labelled"] = "subset"
    order: Literal["given"] | None = None
    domains: Mapping[str, Any] | None = None
    needs: tuple[str, ...] = ()
    cost: str = ""
    paper: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The contract's JSON shape."""
        return {
            "name": self.name,
            "signals": [signal["name"] for signal in self.signals],
            "selector": self.selector.get("name"),
            "needs": list(self.needs),
            "cost": self.cost,
            "paper": self.paper,
        }


@cache
def table() -> dict[str, Method]:
    """Every method by name, in the file's order."""
    lines = tomllib.loads((files("thresher") / "methods.toml").read_text(encoding="utf-8"))
    return {
        name: Method(name, **{**line, "signals": tuple(line.get("signals", ())), "needs": tuple(line.get("needs", ()))})
        for name, line in lines.items()
    }


def get(name: str) -> Method:
    """The method called `name`.

    Raises:
        UnknownName: no such method; the message has the nearest names.
    """
    if name not in table():
        raise UnknownName(unknown("method", name, table()))
    return table()[name]
