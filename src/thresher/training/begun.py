"""What a folder's training is of: one of other rows, or of another recipe, seed or model, is not taken for this one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.core.pool import Pool
from thresher.core.store import write_bytes
from thresher.data.chat import Encoded
from thresher.errors import StoreError
from thresher.models import load
from thresher.training.origin import DONE
from thresher.training.recipe import Recipe

BEGUN = "thresher-begun.json"  # in the folder of a training that has not ended
UNSAID = ("save_every", "report_to")  # of a recipe: the weights are the same
SAID = {"weights": "model", "rows": "rows", "recipes": "recipe", "seed": "seed"}


def what(model: str, stages: Sequence[tuple[Pool | Encoded, Recipe]], seed: int) -> dict[str, Any]:
    """What decides the weights, as it stands in the folder; rows that come as tokens are the caller's to tell apart."""
    return {
        "weights": load.weights_hash(model),
        "rows": [None if isinstance(rows, Encoded) else rows.fingerprint for rows, _ in stages],
        "recipes": [recipe.to_dict() for _, recipe in stages],
        "seed": seed,
    }


def check(out: Path, part: Path, wanted: Mapping[str, Any]) -> None:
    """Nothing, where no other training is in the way.

    Raises:
        StoreError: `out` is the finished training, or `part` the unfinished one, of something else; or `out` is no
            training, and there is something in it.
    """
    if out.exists() and not (out / DONE).exists() and not (out.is_dir() and not any(out.iterdir())):
        raise StoreError(f"{out} is there already and is no training. Name another folder with --out.")
    for folder, name, state in ((out, DONE, "a finished"), (part, BEGUN, "an unfinished")):
        old, new = _plain(_read(folder / name)), _plain(json.loads(json.dumps(wanted)))
        other = [said for key, said in SAID.items() if key in old and old[key] != new[key]]
        if other:
            raise StoreError(
                f"{folder} is {state} training of another {', '.join(other)}. Name another folder with --out, or take "
                "it away."
            )


def leave(part: Path, wanted: Mapping[str, Any]) -> None:
    """Write down in `part` what is trained there."""
    part.mkdir(parents=True, exist_ok=True)
    write_bytes(part / BEGUN, json.dumps(wanted).encode())


def _plain(said: Mapping[str, Any]) -> dict[str, Any]:
    recipes = [{key: value for key, value in one.items() if key not in UNSAID} for one in said.get("recipes", ())]
    return {**said, "recipes": recipes} if recipes else dict(said)


def _read(path: Path) -> dict[str, Any]:
    """Nothing where there is none, and where it is damaged, which `kept` says."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
