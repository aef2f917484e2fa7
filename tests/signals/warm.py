"""A pool with a planted target, and a model that has read it: what tests of gradients share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from thresher.core.pool import Pool
from thresher.signals.warmup import Warmup
from thresher.training.recipe import Recipe
from thresher.training.sft import train

WORDS = [
    "river", "stone", "cloud", "garden", "winter", "silver", "market", "window", "paper", "candle", "bridge", "forest",
    "letter", "wagon", "mirror",
]  # fmt: skip
THINGS = ["apples", "old wooden boats", "birds over the sea", "keys", "letters from home"]


def spelling(i: int) -> list[dict[str, str]]:
    word = WORDS[i % 15] if i < 15 else WORDS[i % 15] + WORDS[(i * 7) % 15]
    return _row(f"Spell the word {word}.", f"The letters of it are {' '.join(word)}, and so it is spelled.")


def counting(i: int) -> list[dict[str, str]]:
    things = THINGS[i % 5]
    return _row(f"Ann has {i} {things} and finds {i % 7} more. How many?", f"There are {i + i % 7} {things}.")


def noise(i: int) -> list[dict[str, str]]:
    """What no model expects."""
    letters = np.random.default_rng(i).choice(list("qxzjkvwybfpg"), 40)
    return _row("".join(letters[:12]), "".join(letters[12:]))


def _row(asked: str, said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


def planted(n: int, share: float) -> tuple[Pool, np.ndarray]:
    """n rows, a share of them like the target, of the others a third noise; and which are like the target."""
    near = np.random.default_rng(3).permutation(n) < share * n
    rows = [spelling(20 + i) if near[i] else noise(i) if i % 3 == 0 else counting(i) for i in range(n)]
    return Pool.from_messages(rows, name="planted"), near


def target(q: int = 6) -> Pool:
    return Pool.from_messages([spelling(i) for i in range(q)], ["words"] * q, ids=[f"t{i}" for i in range(q)])


def trained(model: str, out: Path) -> str:
    """Trained on counting only, so that it is no random start any more, and has spelling to learn."""
    if not out.exists():
        recipe = Recipe(epochs=3.0, batch_size=8, micro_batch=8, learning_rate=5e-3, max_tokens=96)
        rows = Pool.from_messages([counting(200 + i) for i in range(64)], name="counting")
        train(model, [(rows, recipe)], seed=0, out=out)
    return str(out)


def warmup(model: str, **fields: Any) -> Warmup:
    """Small and quick."""
    small = {"share": 0.2, "epochs": 2, "lora": 4, "alpha": 16, "batch_size": 8, "learning_rate": 1e-3}
    return Warmup(model=model, max_tokens=96, **{**small, **fields})


def copied(run: Path, to: Path, **record: Any) -> Path:
    """A warm-up's folder somewhere else, with other words in its record."""
    shutil.copytree(run, to)
    about = json.loads((to / "run.json").read_text())
    (to / "run.json").write_text(json.dumps({**about, **record}))
    return to


def epochs_of(store: Path) -> Path:
    """The folder of checkpoints in a store."""
    (found,) = store.glob("*/own/epochs-*")
    return found
