"""Written answers: greedy, or drawn with a seed; prompts of about one length together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from transformers import DynamicCache

from thresher.compute import flops, meter
from thresher.models.batching import PADDING, batches
from thresher.models.finite import check_logits
from thresher.models.load import Opened

TOKEN_BUDGET = 8192  # tokens of prompts and answers a batch keeps in its cache


@dataclass(frozen=True)
class Answer:
    """What was written after one prompt, without the end token or stop string that ended it."""

    text: str
    ended: Literal["end", "stop", "length"]  # by the model, by a stop string, because it was long enough
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How answers are written.

    Attributes:
        max_new_tokens: an answer is cut there.
        stop: texts that end an answer; looked for in the decoded text, so a tokenizer may split them as it likes.
        temperature: 0 takes the likeliest token, always.
        top_p: sampling among the likeliest tokens that have this probability together.
        seed: of the draws; prompt i has draws of its own, whatever is beside it.
    """

    max_new_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


def generate(
    opened: Opened, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, stop: Sequence[str] = (),
    token_budget: int = TOKEN_BUDGET,
) -> list[str]:  # fmt: skip
    """Each prompt's greedy answer as text."""
    decoding = Decoding(max_new_tokens=max_new_tokens, stop=tuple(stop))
    return [answer.text for answer in answers(opened, prompts, decoding, token_budget=token_budget)]


def answers(
    opened: Opened, prompts: Sequence[Sequence[int]], decoding: Decoding, *, token_budget: int = TOKEN_BUDGET
) -> list[Answer]:
    """Each prompt's answer.

    Prompts of about one length run together, filled up on the left and masked; a row that has ended leaves
    its batch. An answer ends at the end token, a stop string, or after `max_new_tokens`.

    Raises:
        NonFinite: the model predicts NaN.
    """  # noqa: DOC502
    found: list[Answer] = [Answer("", "length", 0)] * len(prompts)
    new = decoding.max_new_tokens
    lengths = np.array([len(prompt) + new for prompt in prompts], np.int64)
    with torch.inference_mode():
        # another batch costs all its steps again, so much more padding is worth it than for one forward pass
        for rows in batches(lengths, token_budget, padding=PADDING * max(1, new)):
            for row, answer in zip(rows, _Batch(opened, rows, prompts, decoding).run(), strict=True):
                found[row] = answer
    return found


class _Batch:
    """Prompts that are answered together."""

    def __init__(
        self, opened: Opened, rows: np.ndarray, prompts: Sequence[Sequence[int]], decoding: Decoding
    ) -> None:
        self.opened, self.decoding = opened, decoding
        self.ends = end_ids(opened)
        own = [list(prompts[row]) for row in rows]
        self.draws = [np.random.default_rng([decoding.seed, 0xD4A7, int(row)]) for row in rows]
        longest = max(len(prompt) for prompt in own)
        ids = np.full((len(own), longest), opened.pad_id, np.int64)
        mask = np.zeros((len(own), longest), np.int64)
        for row, prompt in enumerate(own):
            ids[row, longest - len(prompt) :] = prompt
            mask[row, longest - len(prompt) :] = 1
        self.ids = torch.from_numpy(ids).to(opened.device)  # (b, s) what the next step reads
        self.mask = torch.from_numpy(mask).to(opened.device)  # (b, all so far)
        self.place = self.mask.cumsum(1).sub(1).clamp(min=0)  # (b, s)
        self.cache = DynamicCache(config=opened.model.config)
        self.written: list[list[int]] = [[] for _ in own]
        self.running = list(range(len(own)))  # which prompt each row of the batch is
        self.reach = max((len(word.encode()) for word in decoding.stop), default=0) + 4  # tokens that may hold one

    def run(self) -> list[Answer]:
        """The answers, in the prompts' order."""
        found: list[Answer] = [Answer("", "length", 0)] * len(self.running)
        for step in range(self.decoding.max_new_tokens):
            tokens = self._step()
            keep = []
            for at, (prompt, token) in enumerate(zip(self.running, tokens, strict=True)):
                ended = token in self.ends
                self.written[prompt] += [] if ended else [token]
                stopped = not ended and self._stopped(prompt)
                if ended or stopped or step == self.decoding.max_new_tokens - 1:
                    found[prompt] = self._answer(prompt, ended)
                else:
                    keep.append(at)
            if not keep:
                break
            self._go_on(tokens, keep)
        return found

    def _step(self) -> list[int]:
        """The next token of every running row."""
        b, s = self.ids.shape
        model = self.opened.model
        logits = model(
            input_ids=self.ids, attention_mask=self.mask, position_ids=self.place, past_key_values=self.cache,
            use_cache=True, logits_to_keep=1,
        ).logits[:, -1]  # (b, V)  # fmt: skip
        check_logits(logits)
        seen = self.mask.shape[1]
        meter.count(flops=flops.forward(self.opened.architecture, b * s, b * s * seen, b), tokens=b * s)
        if self.decoding.temperature <= 0:
            return logits.argmax(-1).tolist()
        draws = [self.draws[prompt].random() for prompt in self.running]
        return drawn(logits, self.decoding.temperature, self.decoding.top_p, draws)

    def _go_on(self, tokens: list[int], keep: list[int]) -> None:
        """Append the tokens; rows that have ended leave."""
        rows = torch.tensor(keep, device=self.ids.device)
        if len(keep) < len(tokens):
            self.cache.batch_select_indices(rows)
        self.ids = torch.tensor(tokens, device=self.ids.device)[rows][:, None]
        self.mask = torch.cat([self.mask[rows], torch.ones_like(self.ids)], dim=1)
        self.place = self.place[rows, -1:] + 1
        self.running = [self.running[at] for at in keep]

    def _stopped(self, prompt: int) -> bool:
        """Whether the last token completed a stop string: a look at the end, and only if it is there at the whole."""
        stop = self.decoding.stop
        if not stop:
            return False
        tail = self._text(self.written[prompt][-self.reach :])
        return any(word in tail for word in stop) and any(word in self._text(self.written[prompt]) for word in stop)

    def _answer(self, prompt: int, ended: bool) -> Answer:
        """The text, up to the first stop string."""
        text = self._text(self.written[prompt])
        cuts = [at for at in (text.find(word) for word in self.decoding.stop) if at >= 0]
        tokens = len(self.written[prompt])
        if cuts:
            return Answer(text[: min(cuts)], "stop", tokens)
        return Answer(text, "end" if ended else "length", tokens)

    def _text(self, ids: list[int]) -> str:
        return self.opened.tokenizer.decode(ids, skip_special_tokens=True)


def drawn(logits: torch.Tensor, temperature: float, top_p: float, draws: Sequence[float]) -> list[int]:
    """One token a row of (b, V): the draw's place in the cumulative probabilities, likeliest token first."""
    order = logits.float().cpu().argsort(dim=-1, descending=True, stable=True)
    probability = (logits.double().cpu().gather(-1, order) / temperature).softmax(-1).cumsum(-1).numpy()
    found = []
    for row, draw in enumerate(draws):
        whole = probability[row]
        kept = min(len(whole), int(np.searchsorted(whole, min(top_p, whole[-1]), side="left")) + 1)
        at = int(np.searchsorted(whole[:kept], draw * whole[kept - 1], side="right"))
        found.append(int(order[row, min(at, kept - 1)]))
    return found


def end_ids(opened: Opened) -> set[int]:
    """Every id that ends an answer: the tokenizer's end token, and those the model itself names."""
    named = opened.model.generation_config.eos_token_id
    ids = {opened.tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}
    return {i for i in ids if i is not None}
