"""A .gguf file -> an ordinary model folder, converted once and kept by the file's content."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from thresher.compute.flops import Architecture
from thresher.errors import ModelError
from thresher.models.folder import UNREADABLE, build, file_hash
from thresher.models.gguf_header import elements

VERSION = 1  # raise it when the conversion changes


def convert(path: Path, *, origin: str, home: Path) -> Path:
    """The folder of the model inside a .gguf file, dequantised to float32.

    Raises:
        ModelError: it is not such a file, or its architecture cannot be read.
    """
    if path.suffix != ".gguf":
        raise ModelError(f"{path} is a file, but not a .gguf one. Name the model's folder, or a .gguf file.")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{path} is not a GGUF file: it does not begin with the letters GGUF.")
    held = elements(path)
    digest = file_hash(path)
    about = {"origin": origin, "file": path.name, "file_sha256": digest, "random_start": False, "made_by": "gguf"}
    return build(home / f"gguf-{digest[:24]}-v{VERSION}", lambda part: _write(path, part, held), about)


def _write(path: Path, part: Path, held: int) -> None:
    """Read through transformers, then save a clean copy: its model calls itself quantised and will not save.

    Raises:
        ModelError: it cannot be opened or used.
    """
    source = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        needed = Architecture.of(AutoConfig.from_pretrained(**source)).params
        if needed > 1.1 * held:  # and says so before room for all of them is taken
            raise ModelError(f"{path} describes a model of {needed:,} parameters, and holds {held:,}. Get it again.")
        model, told = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, output_loading_info=True)
        if missing := sorted(told["missing_keys"]):
            raise ModelError(f"{path} lacks {len(missing)} tensors of the model it describes, first {missing[:3]}.")
        tokenizer = AutoTokenizer.from_pretrained(**source)
    except ImportError as error:
        raise ModelError(
            f"reading {path.name} needs the packages gguf and accelerate: pip install gguf accelerate."
        ) from error
    except UNREADABLE as error:
        raise ModelError(f"cannot convert {path}: {error}") from error
    known = model.config.to_dict()
    known.pop("quantization_config", None)
    config = type(model.config).from_dict({**known, "dtype": "float32"})
    clean = type(model)(config)
    clean.load_state_dict(model.state_dict())
    clean.tie_weights()
    clean.generation_config.eos_token_id = tokenizer.eos_token_id
    clean.save_pretrained(part)
    tokenizer.save_pretrained(part)
