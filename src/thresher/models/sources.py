"""Models that are somewhere else: inside an installed package, or on the hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from thresher.core.answering import SECONDS, answers
from thresher.errors import ModelError
from thresher.models.folder import ways


def in_package(name: str) -> Path:
    """The one .gguf file or model folder inside an installed package, which is not imported.

    Raises:
        ModelError: it cannot be opened or used.
    """
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"no installed package called {name!r} to take a model from. Install it with pip. {ways()}")
    home = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(home.rglob("*.gguf"))
    folders = sorted({path.parent for path in home.rglob("*.safetensors") if (path.parent / "config.json").exists()})
    found += [folder for folder in folders if not set(folder.parents) & set(folders)]  # an encoder's layers are its own
    if len(found) != 1:
        there = ", ".join(str(path.relative_to(home)) for path in found) or "none"
        raise ModelError(
            f"the package {name!r} must hold exactly one model (.gguf or safetensors folder), has: {there}."
        )
    return found[0]


def from_hub(name: str) -> Path:
    """The hub model's files, downloaded or already here.

    Raises:
        ModelError: it cannot be opened or used.
    """
    repository, _, revision = name.partition("@")
    files = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    there = constants.is_offline_mode() or answers("model", repository, revision or None)
    try:
        return Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=files, local_files_only=not there)
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        why = f"the hub did not give it ({type(error).__name__})" if there else f"the hub does not answer ({SECONDS} s)"
        raise ModelError(
            f"no local folder is called {name!r}, and {why}; nor was it fetched before. {ways()}"
        ) from error
