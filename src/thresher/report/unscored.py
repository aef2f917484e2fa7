"""Models of a run that have no score, and why."""

from __future__ import annotations

from pathlib import Path

from thresher.report.section import Section, Table, Words, read_json

SAYS = (
    "The training of these models diverged, so there is nothing to score. Their arms are compared on the seeds that "
    "are left, which flatters them."
)


def unscored(folder: Path) -> list[Section]:
    """What each model's result.json says; nothing where all have scores."""
    told = {path.parent.name: read_json(path).get("no_score") for path in sorted(folder.glob("trained/*/result.json"))}
    rows = [(name, why) for name, why in told.items() if why]
    return [Section("Models without a score", [Words(SAYS), Table(("model", "why"), rows)])] if rows else []
