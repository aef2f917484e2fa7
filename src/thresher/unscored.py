"""Models of a run that have no score: their training diverged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from thresher.errors import NonFinite
from thresher.job import NO_SCORE, RESULT


def unscored(out: Path) -> dict[str, str]:
    """{job: why} of a run's folder."""
    found = {}
    for path in sorted(out.glob(f"trained/*/{RESULT}")):
        why = json.loads(path.read_text(encoding="utf-8")).get(NO_SCORE)
        if why:
            found[path.parent.name] = why
    return found


def refuse(lost: Mapping[str, str], out: Path) -> None:
    """Nothing, where every model has a score.

    Raises:
        NonFinite: some have none.
    """
    if lost:
        first, why = next(iter(lost.items()))
        raise NonFinite(
            f"{len(lost)} models in {out} have no score: {', '.join(list(lost)[:5])}. {first}: {why} The results hold "
            "the others; an arm that diverged is compared on the seeds that are left, which flatters it. Mend the "
            "recipe and run it with another --out."
        )
