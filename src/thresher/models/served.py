"""Answers written by vLLM, for machines with a GPU: the same prompts and the same rules of ending.

Written against vLLM's documented interface (LLM.generate over token prompts, SamplingParams) and tested with a stand-in
for it: it has not been run on a GPU by the authors. Its sums run in another order, so greedy answers can differ from
ours in a token where two are nearly alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thresher.compute import flops, meter
from thresher.errors import ModelError
from thresher.models import folder, load
from thresher.models.generate import Answer, Decoding

WHOLE = 1 << 30  # tokens: a model that does not say how many it reads


class Served:
    """A model that vLLM has open."""

    def __init__(self, path: str, *, dtype: str = "auto") -> None:
        """Start the engine.

        Raises:
            ModelError: vLLM is not installed, the model is an adapter, or the engine refuses it.
        """
        try:
            from vllm import LLM
        except ImportError as error:
            raise ModelError(
                "engine: vllm needs the package vllm and a GPU: pip install 'thresher[vllm]'; or leave `engine` out."
            ) from error
        if folder.is_adapter(Path(path)):
            raise ModelError(f"{path} is an adapter: merge it into its base model first, or leave `engine` out.")
        self.path, self.tokenizer = path, load.open_tokenizer(path)
        self.architecture = load.architecture(path)
        self.window: int = getattr(load.config(path), "max_position_embeddings", None) or WHOLE
        try:
            self.llm: Any = LLM(model=path, tokenizer=path, dtype=dtype)
        except (ValueError, RuntimeError, OSError) as error:
            raise ModelError(f"vLLM cannot open {path}: {error}") from error

    def answers(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[Answer]:
        """Each prompt's answer; prompt i is drawn with a seed of its own."""
        from vllm import SamplingParams

        settings = [
            SamplingParams(
                temperature=decoding.temperature, top_p=decoding.top_p if decoding.temperature > 0 else 1.0,
                max_tokens=decoding.max_new_tokens, stop=list(decoding.stop), skip_special_tokens=True,
                include_stop_str_in_output=False, seed=zlib.crc32(f"{decoding.seed}:{i}".encode()),
            )
            for i in range(len(prompts))
        ]  # fmt: skip
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        found = [one.outputs[0] for one in self.llm.generate(asked, settings, use_tqdm=False)]
        for prompt, one in zip(prompts, found, strict=True):
            read, new = len(prompt), max(1, len(one.token_ids))
            meter.count(flops=float(flops.generate(self.architecture, read, read**2, new)), tokens=read + new - 1)
        return [Answer(one.text, _ended(one), len(one.token_ids)) for one in found]


def _ended(one: Any) -> Any:
    if one.finish_reason == "length":
        return "length"
    return "stop" if isinstance(one.stop_reason, str) else "end"
