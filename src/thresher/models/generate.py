"""Greedy answers: the most likely token, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import DynamicCache

from thresher.compute import flops, meter
from thresher.models.batching import batches
from thresher.models.load import Opened

TOKEN_BUDGET = 8192  # tokens of prompts and answers a batch keeps in its cache


def generate(
    opened: Opened, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stop: Sequence[str] = (),
    token_budget: int = TOKEN_BUDGET,
) -> list[str]:  # fmt: skip
    """Each prompt's answer, without the end token or stop string that ended it.

    Prompts of about one length run together, filled up on the left and masked; a row that has ended leaves
    its batch. An answer ends at the end token, a stop string, or after `max_new_tokens`.
    """
    answers = [""] * len(prompts)
    lengths = np.array([len(prompt) + max_new_tokens for prompt in prompts], np.int64)
    with torch.inference_mode():
        for rows in batches(lengths, token_budget):
            found = _Batch(opened, [list(prompts[i]) for i in rows]).run(max_new_tokens, stop)
            for row, answer in zip(rows, found, strict=True):
                answers[row] = answer
    return answers


class _Batch:
    """Prompts that are answered together."""

    def __init__(self, opened: Opened, prompts: list[list[int]]) -> None:
        self.opened = opened
        self.ends = end_ids(opened)
        longest = max(len(prompt) for prompt in prompts)
        ids = np.full((len(prompts), longest), opened.pad_id, np.int64)
        mask = np.zeros((len(prompts), longest), np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = prompt
            mask[row, longest - len(prompt) :] = 1
        self.ids = torch.from_numpy(ids).to(opened.device)  # (b, s) what the next step reads
        self.mask = torch.from_numpy(mask).to(opened.device)  # (b, all so far)
        self.place = self.mask.cumsum(1).sub(1).clamp(min=0)  # (b, s)
        self.cache = DynamicCache(config=opened.model.config)
        self.written: list[list[int]] = [[] for _ in prompts]
        self.running = list(range(len(prompts)))  # which prompt each row of the batch is

    def run(self, max_new_tokens: int, stop: Sequence[str]) -> list[str]:
        """The answers, in the prompts' order."""
        answers = [""] * len(self.running)
        for step in range(max_new_tokens):
            tokens = self._step()
            keep = []
            for at, (prompt, token) in enumerate(zip(self.running, tokens, strict=True)):
                ended = token in self.ends
                self.written[prompt] += [] if ended else [token]
                answer, stopped = self._answer(prompt, stop)
                if ended or stopped or step == max_new_tokens - 1:
                    answers[prompt] = answer
                else:
                    keep.append(at)
            if not keep:
                break
            self._go_on(tokens, keep)
        return answers

    def _step(self) -> list[int]:
        """The most likely next token of every running row."""
        b, s = self.ids.shape
        model = self.opened.model
        logits = model(
            input_ids=self.ids, attention_mask=self.mask, position_ids=self.place, past_key_values=self.cache,
            use_cache=True, logits_to_keep=1,
        ).logits  # (b, 1, V)  # fmt: skip
        seen = self.mask.shape[1]
        meter.count(flops=flops.forward(self.opened.architecture, b * s, b * s * seen, b), tokens=b * s)
        return logits[:, -1].argmax(-1).tolist()

    def _go_on(self, tokens: list[int], keep: list[int]) -> None:
        """Append the tokens; rows that have ended leave."""
        rows = torch.tensor(keep, device=self.ids.device)
        if len(keep) < len(tokens):
            self.cache.batch_select_indices(rows)
        self.ids = torch.tensor(tokens, device=self.ids.device)[rows][:, None]
        self.mask = torch.cat([self.mask[rows], torch.ones_like(self.ids)], dim=1)
        self.place = self.place[rows, -1:] + 1
        self.running = [self.running[at] for at in keep]

    def _answer(self, prompt: int, stop: Sequence[str]) -> tuple[str, bool]:
        """The answer so far, up to the first stop string, and whether there was one."""
        text = self.opened.tokenizer.decode(self.written[prompt], skip_special_tokens=True)
        cuts = [at for at in (text.find(word) for word in stop) if at >= 0]
        return (text[: min(cuts)], True) if cuts else (text, False)


def end_ids(opened: Opened) -> set[int]:
    """Every id that ends an answer: the tokenizer's end token, and those the model itself names."""
    named = opened.model.generation_config.eos_token_id
    ids = {opened.tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
    return {i for i in ids if i is not None}
