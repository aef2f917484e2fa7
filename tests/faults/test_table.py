"""docs/faults.md names tests that are there."""

from __future__ import annotations

from pathlib import Path

from commands import known_tests


def test_every_line_of_the_table_is_of_a_test_that_exists():
    page = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
    lines = [row.split("`")[-2] for row in page.splitlines() if row.endswith("` |")]
    assert lines
    assert set(lines) <= known_tests(), "run `make faults`"
