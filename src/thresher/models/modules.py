"""What a sentence encoder's folder says of itself: modules.json, its pooling, its layers after pooling."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors.numpy import load_file

from thresher.errors import ModelError
from thresher.models import folder as folders
from thresher.models.hidden import Pooling

MODES: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_lasttoken": "last",
    "pooling_mode_weightedmean_tokens": "weighted", "cls": "cls", "mean": "mean", "lasttoken": "last",
    "weightedmean": "weighted",
}  # fmt: skip
ACTIVATIONS = {"Identity": lambda x: x, "Tanh": np.tanh, "ReLU": lambda x: np.maximum(x, 0)}


@dataclass(frozen=True, eq=False)
class Dense:
    """A linear layer on a row's vector."""

    weight: Float32[np.ndarray, "out d"]
    bias: Float32[np.ndarray, " out"]
    activation: str

    def __call__(self, vectors: Float32[np.ndarray, "b d"]) -> Float32[np.ndarray, "b out"]:
        """(b, d) -> (b, out)."""
        return ACTIVATIONS[self.activation](vectors @ self.weight.T + self.bias).astype(np.float32)

    def flops(self, n: int) -> float:
        """Of n vectors."""
        return 2.0 * n * self.weight.size


@dataclass(frozen=True, eq=False)
class Modules:
    """The parts of an encoder besides its transformer."""

    pooling: Pooling
    window: int | None  # tokens, where the makers name a number
    dense: tuple[Dense, ...]
    files: tuple[Path, ...]  # all that was read

    @classmethod
    def of(cls, path: str) -> Modules:
        """Read a folder; without modules.json the mean of all tokens, and nothing after it.

        Raises:
            ModelError: a module nobody here knows.
        """
        return _read(path)

    def hash(self) -> str:
        """Sixty-four hex digits; nothing where the folder says nothing."""
        marks = "".join(folders.file_hash(file) for file in self.files)
        return hashlib.sha256(marks.encode()).hexdigest() if marks else ""


@lru_cache(maxsize=8)
def _read(path: str) -> Modules:
    home = Path(path)
    listing, sizes = home / "modules.json", home / "sentence_bert_config.json"
    window = folders.read_json(sizes).get("max_seq_length") if sizes.exists() else None
    if not listing.exists():
        return Modules("mean", window, (), ())
    pooling: Pooling = "mean"
    dense: list[Dense] = []
    files = [listing]
    for module in folders.read_json(listing):
        kind, here = module["type"].rsplit(".", 1)[-1], home / module["path"]
        if kind == "Pooling":
            pooling = _pooling(here / "config.json")
            files.append(here / "config.json")
        elif kind == "Dense":
            dense.append(_dense(here))
            files += [here / "config.json", here / "model.safetensors"]
        elif kind not in ("Transformer", "Normalize"):
            raise ModelError(
                f"{path} has a module {kind!r} (modules.json); known are Transformer, Pooling, Dense, Normalize."
            )
    return Modules(pooling, window, tuple(dense), tuple(files))


def _pooling(path: Path) -> Pooling:
    about = folders.read_json(path)
    named = about.get("pooling_mode")  # of newer folders
    flags = [key for key, on in about.items() if key.startswith("pooling_mode_") and on]
    on = [named] if isinstance(named, str) else named or flags
    if len(on) != 1 or on[0] not in MODES:
        raise ModelError(
            f"{path} pools by {', '.join(on) or 'nothing'}; known are {', '.join(MODES)}. Use another encoder."
        )
    return MODES[on[0]]


def _dense(folder: Path) -> Dense:
    about, weights = folders.read_json(folder / "config.json"), folder / "model.safetensors"
    activation = str(about.get("activation_function", "Identity")).rsplit(".", 1)[-1]
    if not weights.exists() or activation not in ACTIVATIONS:
        raise ModelError(
            f"{folder}: its layer needs a model.safetensors and one of {', '.join(ACTIVATIONS)}, has {activation}. "
            "Convert it, or leave it out with dense = false."
        )
    found = load_file(weights)
    weight = found["linear.weight"].astype(np.float32)
    return Dense(weight, found.get("linear.bias", np.zeros(len(weight), np.float32)).astype(np.float32), activation)
