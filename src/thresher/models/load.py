"""A model's name -> a local folder -> an open model and its tokenizer, once per process."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from thresher.compute.flops import Architecture
from thresher.core.pool import Pool
from thresher.data.chat import Counted, Encoded, count, encode
from thresher.errors import ModelError
from thresher.models import attention, cut, gguf, scratch
from thresher.models import folder as folders
from thresher.models.device import choose_device, choose_dtype
from thresher.models.folder import ways
from thresher.models.quiet import quiet
from thresher.models.sources import from_hub, in_package

KEPT_ROWS = 100_000  # tokens of a pool of up to so many rows are kept whole: some 100 MB
KEPT_OPEN = 2  # models that stay open in one process: a target and a scorer
_CUT = re.compile(r"cut:(.+?):(\d+)(?::(\d+))?")
_HUB = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?")


@dataclass(frozen=True, eq=False)
class Opened:
    """A model that is open, and what was chosen for it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    path: str
    device: str
    dtype: str
    attention: str
    pad_id: int  # only ever stands where nothing is read
    pad_from: str  # which token was borrowed for it: pad, eos, or id 0
    architecture: Architecture

    def choices(self) -> dict[str, str]:
        """For the card."""
        return {"device": self.device, "dtype": self.dtype, "attention": self.attention, "padding": self.pad_from}


def resolve(name: str, *, pool: Pool | None = None, cache: Path, seed: int = 0, trust_remote_code: bool = False) -> str:
    """A model's name as a local folder; what must be converted, cut or made is, once, under `cache`/models.

    Args:
        name: hub name, folder, .gguf file, package:NAME, scratch:SIZE or cut:MODEL:LAYERS[:VOCAB].
        pool: what a scratch model's tokenizer is trained on, and a cut one's vocabulary chosen by.
        cache: where made models are kept.
        seed: of a scratch model's random start.
        trust_remote_code: let a model bring its own Python code.

    Raises:
        ModelError: there is no such model, or it cannot be opened safely.
    """
    home = Path(cache) / "models"
    if name.startswith("scratch:"):
        return str(scratch.make(name.removeprefix("scratch:"), pool=pool, home=home, seed=seed))
    if name.startswith("cut:"):
        match = _CUT.fullmatch(name)
        if match is None:
            raise ModelError(
                f"cannot read {name!r}. Write cut:MODEL:LAYERS or cut:MODEL:LAYERS:VOCAB, both whole numbers."
            )
        source = resolve(match[1], pool=pool, cache=cache, seed=seed, trust_remote_code=trust_remote_code)
        vocab = int(match[3]) if match[3] else None
        return str(cut.make(name, Path(source), layers=int(match[2]), vocab=vocab, pool=pool, home=home))
    path = in_package(name.removeprefix("package:")) if name.startswith("package:") else Path(name).expanduser()
    if path.is_file():
        return str(gguf.convert(path, origin=name, home=home))
    if path.is_dir():
        return str(folders.check(path, trust_remote_code=trust_remote_code))
    if path.suffix == ".gguf" or name.startswith((".", "/", "~")) or not _HUB.fullmatch(name):
        raise ModelError(f"there is no model at {name!r}. {ways()}")
    return str(folders.check(from_hub(name), trust_remote_code=trust_remote_code))


def open_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a resolved model; of an adapter without one, its base model's."""
    return _tokenizer(path)


@lru_cache(maxsize=8)
def _tokenizer(path: str) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=folders.trusted(path))
    except Exception as error:  # noqa: BLE001 - the tokenizers library raises it bare
        here = Path(path)
        if folders.is_adapter(here):
            return _tokenizer(_base_of(here))
        raise ModelError(f"cannot open the tokenizer of {path}: {error}") from error


def _base_of(adapter: Path) -> str:
    return folders.base_of(adapter)


def architecture(path: str) -> Architecture:
    """The shape that prices are computed from; reads the configuration only."""
    here = Path(path)
    return Architecture.of(config(_base_of(here) if folders.is_adapter(here) else path))


def config(path: str) -> Any:
    """A model's configuration as transformers reads it.

    Raises:
        ModelError: there is none.
    """
    try:
        return AutoConfig.from_pretrained(path, trust_remote_code=folders.trusted(path))
    except folders.UNREADABLE as error:
        raise ModelError(f"cannot read the configuration of {path}: {error}") from error


def weights_hash(path: str) -> str:
    """Sixty-four hex digits of the weights and the configuration; of an adapter, its base model's too."""
    here = Path(path)
    own = folders.weights_hash(here)
    return own if not folders.is_adapter(here) else f"{own[:32]}{weights_hash(_base_of(here))[:32]}"


def about(path: str) -> dict[str, Any]:
    """Where a resolved model came from: origin, random_start, and how it was made."""
    return folders.about(Path(path))


_open: OrderedDict[tuple, Opened] = OrderedDict()


def open_model(path: str, *, device: str = "auto", dtype: str = "auto") -> Opened:
    """The model, ready to be read from: evaluation mode, no gradients. The last two stay open.

    Raises:
        ModelError: it cannot be opened, or the device or dtype is not one of this machine.
    """
    device = choose_device(device)
    dtype = choose_dtype(dtype, device, architecture(path))
    key = (path, device, dtype, weights_hash(path))
    if key not in _open:
        while len(_open) >= KEPT_OPEN:
            _open.popitem(last=False)
        with quiet():
            _open[key] = _load(path, device, dtype)
    _open.move_to_end(key)
    return _open[key]


def close_models() -> None:
    """Let every open model go: before training, say, which needs the memory."""
    _open.clear()


def _load(path: str, device: str, dtype: str) -> Opened:
    here = Path(path)
    base = _base_of(here) if folders.is_adapter(here) else path
    try:
        model, told = AutoModelForCausalLM.from_pretrained(
            base, dtype=getattr(torch, dtype), attn_implementation="sdpa", use_safetensors=True,
            trust_remote_code=folders.trusted(base), output_loading_info=True,
        )
        if missing := sorted(told["missing_keys"]):
            raise ModelError(
                f"{base} lacks {len(missing)} of the tensors that its configuration names, first {missing[:3]}: "
                "they would be random numbers. Get the model again, with all files of its weights."
            )
        if base != path:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, path).merge_and_unload()
    except folders.UNREADABLE as error:
        raise ModelError(f"cannot open the model {path}: {error}") from error
    model = model.to(device).eval().requires_grad_(False)
    tokenizer = open_tokenizer(path)
    pad_id, pad_from = padding(tokenizer)
    return Opened(
        model, tokenizer, path, device, dtype, attention.choose(model, device, dtype), pad_id, pad_from,
        Architecture.of(model.config),
    )  # fmt: skip


def padding(tokenizer: PreTrainedTokenizerBase) -> tuple[int, str]:
    """An id to fill rows up with, and where it was borrowed. Masks never go by it."""
    if tokenizer.pad_token_id is not None:
        return tokenizer.pad_token_id, "pad"
    if tokenizer.eos_token_id is not None:
        return tokenizer.eos_token_id, "eos"
    return 0, "id 0"


@lru_cache(maxsize=4)
def _encoded(path: str, fingerprint: str, max_tokens: int, pool: _ByIdentity) -> Encoded:
    return encode(pool.pool, open_tokenizer(path), max_tokens)


class _ByIdentity:
    """A pool that caches do not compare: its fingerprint stands beside it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity)

    def __hash__(self) -> int:
        return 0


def encoded(path: str, pool: Pool, max_tokens: int) -> Encoded:
    """The pool's tokens for a resolved model; the last few are remembered."""
    return _encoded(path, pool.fingerprint, max_tokens, _ByIdentity(pool))


@lru_cache(maxsize=4)
def _counted(path: str, fingerprint: str, max_tokens: int, pool: _ByIdentity) -> Counted:
    return count(pool.pool, open_tokenizer(path), max_tokens)


def counted(path: str, pool: Pool, max_tokens: int) -> Encoded | Counted:
    """How many tokens the rows have; a large pool's tokens are not kept."""
    if len(pool) <= KEPT_ROWS:
        return encoded(path, pool, max_tokens)
    return _counted(path, pool.fingerprint, max_tokens, _ByIdentity(pool))
