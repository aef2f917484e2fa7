"""What a command said, and files to give it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Said]


def alpaca(n: int, start: int = 0) -> list[dict[str, str]]:
    """n rows of question and answer in two groups."""
    return [
        {
            "instruction": f"How many keys are {i} keys and {i % 7} more?",
            "output": f"{i + i % 7} keys." + " That is all." * (i % 4),
            "source": "even" if i % 2 == 0 else "odd",
        }
        for i in range(start, start + n)
    ]


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, (str, bytes)) else json.dumps(row) for row in rows]
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
    return path
