"""What a trained model was made of, in the user's own names: kept beside its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DONE = "thresher-training.json"  # the last file a finished training writes


def origin(model: str, data: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The model's name, and of each stage the files it reads; what is no file (a hub name, a folder) has no hash."""
    return {"name": model, "data": [[{"file": one, "sha256": _sha256(Path(one))} for one in stage] for stage in data]}


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
