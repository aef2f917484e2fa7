"""A model as a folder: what may be in it, what it is, and how one is made, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from thresher.core.store import writing
from thresher.errors import ModelError
from thresher.models.quiet import quiet

ABOUT = "thresher.json"
TRUSTED = "THRESHER_TRUSTED"  # folders, for worker processes; `check` sets it
MOST_BYTES = 256 << 20  # of a tokenizer's or configuration's file; the largest in use have some 40 MB
TEXTS = ("*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken")
UNREADABLE = (
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError, MemoryError, RuntimeError,
    struct.error, SafetensorError, StrictDataclassError,
)  # fmt: skip
"""What opening a file that is none, or was made to break its reader, ends with."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def build(folder: Path, make: Callable[[Path], None], about: dict[str, Any]) -> Path:
    """The folder, made once: `make` writes into a temporary one, which is renamed when it is whole."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not (folder / "config.json").exists():
                part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
                try:
                    with quiet():
                        make(part)
                    (part / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False))
                    os.replace(part, folder)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
    return folder


def check(folder: Path, *, trust_remote_code: bool = False) -> Path:
    """The folder, if it can be opened without running anything that came with it.

    Raises:
        ModelError: no configuration, no weights, weights only as pickles, or code of its own.
    """
    config = folder / ("adapter_config.json" if is_adapter(folder) else "config.json")
    if not config.exists():
        raise ModelError(f"{folder} is not a model folder: it has no config.json. {ways()}")
    _check_base(folder, trust_remote_code)
    _check_size(folder)
    _check_code(folder, config.name, trust_remote_code)
    if not any(folder.glob("adapter_model.safetensors" if is_adapter(folder) else "*.safetensors")):
        pickles = [
            path.name for pattern in PICKLES for path in folder.glob(pattern) if path.name != "training_args.bin"
        ]
        if pickles:
            raise ModelError(
                f"{folder} has its weights only as a pickle ({pickles[0]}), and opening a pickle can run any program. "
                "Convert it to safetensors where you trust it (model.save_pretrained), and name that folder."
            )
        raise ModelError(f"{folder} has no weights (*.safetensors). {ways()}")
    return folder


def _check_base(folder: Path, trust: bool) -> None:
    """Of an adapter, the model underneath, where it is a folder here.

    Raises:
        ModelError: it is an adapter itself, or cannot be opened safely.
    """
    if not is_adapter(folder) or not Path(base_of(folder)).is_dir():
        return
    base = Path(base_of(folder))
    if is_adapter(base):
        raise ModelError(f"{folder} is an adapter on {base}, which is an adapter itself. Merge one first.")
    check(base, trust_remote_code=trust)


def _check_size(folder: Path) -> None:
    for path in sorted({path for pattern in TEXTS for path in folder.glob(pattern)}):
        size = path.stat().st_size
        if size > MOST_BYTES and not path.name.endswith(".index.json"):
            raise ModelError(
                f"{path} has {size:,} bytes, and no tokenizer or configuration has over {MOST_BYTES:,}. Reading it "
                "would take many times that in memory: get the model's own file again."
            )


def _check_code(folder: Path, config: str, trust: bool) -> None:
    for name in (config, "tokenizer_config.json"):
        told = read_json(folder / name) if (folder / name).exists() else {}
        if not isinstance(told, dict):
            raise ModelError(f"{folder / name} must hold an object, and holds a {type(told).__name__}.")
        if "auto_map" in told and not trust:
            raise ModelError(
                f"{folder} brings Python code of its own (auto_map in {name}), which would run on this machine "
                "with all your rights. Read it, then pass --trust-remote-code, or use a model without."
            )
        if "auto_map" in told:
            os.environ[TRUSTED] = os.pathsep.join({*os.environ.get(TRUSTED, "").split(os.pathsep), str(folder)} - {""})


def trusted(path: Path | str) -> bool:
    """Whether the user let a folder run code of its own: in this process, or in the one that started it."""
    return str(path) in os.environ.get(TRUSTED, "").split(os.pathsep)


def base_of(adapter: Path) -> str:
    """The model that an adapter was trained on: a folder or a hub name.

    Raises:
        ModelError: its configuration does not say.
    """
    told = read_json(adapter / "adapter_config.json")
    base = told.get("base_model_name_or_path") if isinstance(told, dict) else None
    if not isinstance(base, str) or not base:
        raise ModelError(f"{adapter}/adapter_config.json does not say its base_model_name_or_path.")
    return base


def is_adapter(folder: Path) -> bool:
    """Whether it holds a peft adapter instead of a whole model."""
    return (folder / "adapter_config.json").exists()


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ModelError: it is not one.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f"cannot read {path}: {error}.") from error


def about(folder: Path) -> dict[str, Any]:
    """What is known of where it came from; `random_start` says whether it must be trained before it is of use."""
    path = folder / ABOUT
    return read_json(path) if path.exists() else {"origin": str(folder), "random_start": False}


def weights_of(folder: Path) -> list[Path]:
    """Every file that decides what the model computes."""
    names = ("config.json", "adapter_config.json")
    return sorted(folder.glob("*.safetensors")) + [folder / name for name in names if (folder / name).exists()]


def weights_hash(folder: Path) -> str:
    """Sixty-four hex digits of the weights and the configuration, whatever the folder is called.

    Raises:
        ModelError: it cannot be opened or used.
    """
    marks = tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in weights_of(folder))
    if not marks:
        raise ModelError(f"{folder} has no weights (*.safetensors). {ways()}")
    return _hash(marks)


@cache
def _hash(marks: tuple[tuple[str, int, int], ...]) -> str:
    """By size and time of change, so that a file is read again when it has changed."""
    digest = hashlib.sha256()
    for path, _, _ in marks:
        digest.update(f"{Path(path).name}\0{file_hash(Path(path))}\n".encode())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """Sixty-four hex digits of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ways() -> str:
    """The sentence that says how a model can be named."""
    return (
        "A model is a hub name (owner/name), a local folder, a .gguf file, package:NAME (a model inside an installed "
        "package), cut:MODEL:LAYERS[:VOCAB], or scratch:SIZE such as scratch:3m, which needs nothing."
    )
