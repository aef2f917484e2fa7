"""A section of the page: a title, and what stands under it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from thresher.errors import StoreError


@dataclass(frozen=True)
class Heading:
    """A smaller title inside a section; plain text."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Words:
    """A paragraph; plain text, escaped when the page is made."""

    text: str
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Picture:
    """A figure as `figures.to_div` gives it: markup already, so every text in it must have been escaped."""

    html: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Table:
    """Rows of plain text under a head; long ones are folded away under `folded`, which says what they are."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: str = ""
    wide: bool = False  # the last column holds whole texts
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Section:
    """A title and its blocks, in order."""

    title: str
    blocks: Sequence[Heading | Words | Picture | Table]


def read_json(path: Path) -> Any:  # noqa: ANN401
    """What a file holds; None where there is no such file.

    Raises:
        StoreError: it is there and cannot be read.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise StoreError(f"{path} cannot be read: {problem}. Was it cut off, or edited by hand?") from problem
