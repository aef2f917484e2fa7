"""docs/faults.md names tests that are there."""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent


def test_every_line_of_the_table_is_of_a_test_that_exists():
    page = (HERE.parents[1] / "docs" / "faults.md").read_text(encoding="utf-8")
    lines = [row.split("`")[-2] for row in page.splitlines() if row.endswith("` |")]
    assert lines
    there = {
        f"{path.name}::{node.name}"
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert set(lines) <= there, "run `make faults`"
