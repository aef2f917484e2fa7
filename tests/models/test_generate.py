"""Greedy answers do not depend on who answers beside them."""

from __future__ import annotations

import pytest
import torch

from thresher.compute import flops, meter
from thresher.core.pool import Pool
from thresher.data.chat import prompt_ids
from thresher.models.generate import Decoding, answers, drawn, generate
from thresher.models.load import Opened, open_model


@pytest.fixture
def opened(tiny_model: str) -> Opened:
    """In float32, so that ties are ties for everybody."""
    return open_model(tiny_model, dtype="float32")


@pytest.fixture
def prompts(tiny_pool: Pool, opened: Opened) -> list[list[int]]:
    """Of different lengths."""
    return prompt_ids([row[:-1] for row in tiny_pool.messages()][:9], opened.tokenizer)


def by_definition(opened: Opened, prompt: list[int], new: int) -> list[int]:
    """The whole text read again for every token."""
    ids = list(prompt)
    for _ in range(new):
        with torch.inference_mode():
            token = int(opened.model(torch.tensor([ids])).logits[0, -1].argmax())
        if token == opened.tokenizer.eos_token_id:
            break
        ids.append(token)
    return ids[len(prompt) :]


def test_answers_are_those_of_one_prompt_at_a_time_without_a_cache(opened: Opened, prompts: list[list[int]]):
    expected = [
        opened.tokenizer.decode(by_definition(opened, prompt, 12), skip_special_tokens=True) for prompt in prompts
    ]
    assert generate(opened, prompts, max_new_tokens=12) == expected
    assert generate(opened, prompts, max_new_tokens=12, token_budget=1) == expected


def test_an_answer_ends_before_its_stop_string(
    opened: Opened, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    """A model that recites the alphabet, stopped at "d"."""
    recite(opened, monkeypatch)
    assert generate(opened, prompts[:3], max_new_tokens=20, stop=["zz", "d"]) == ["abc"] * 3


def test_rows_that_end_leave_and_the_others_go_on(
    opened: Opened, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    """Each row starts at its own letter; a row at "h" ends with the end token."""
    recite(opened, monkeypatch)
    a, f, g = (opened.tokenizer(c).input_ids for c in "afg")
    asked = [prompts[0] + g, prompts[1] + a, prompts[2] + f]
    assert generate(opened, asked, max_new_tokens=20) == ["h", "bcdefgh", "gh"]


def test_every_step_is_billed(opened: Opened, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch):
    recite(opened, monkeypatch)
    some = [prompts[0]] * 2
    with meter.block("answers", kind="generate") as block:
        generate(opened, some, max_new_tokens=3)
    length = len(some[0])
    assert block.receipt().flops == pytest.approx(flops.generate(opened.architecture, 2 * length, 2 * length**2, 3, 2))
    assert block.receipt().tokens == 2 * (length + 2)


def recite(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a letter comes the next; after anything else "a"; after "h" the end."""
    ids = [opened.tokenizer(letter).input_ids[-1] for letter in "abcdefgh"] + [opened.tokenizer.eos_token_id]
    after = dict(zip(ids, ids[1:], strict=False))
    forward = opened.model.forward

    def next_letter(*args: object, **options: object) -> object:
        found = forward(*args, **options)
        found.logits = torch.zeros_like(found.logits)
        for row, token in enumerate(options["input_ids"][:, -1].tolist()):
            found.logits[row, -1, after.get(token, ids[0])] = 1
        return found

    monkeypatch.setattr(opened.model, "forward", next_letter)


def test_a_stop_string_that_the_tokenizer_splits_is_found(
    opened: Opened, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    """"cde" is three tokens of the reciting model; the answer is what stands before it, and so it was said."""
    recite(opened, monkeypatch)
    assert len(opened.tokenizer("c").input_ids) == 1
    found = answers(opened, prompts[:2], Decoding(max_new_tokens=20, stop=("cde", "xyz" * 9)))
    assert [(one.text, one.ended) for one in found] == [("ab", "stop")] * 2
    ended, cut = (answers(opened, prompts[:1], Decoding(max_new_tokens=new))[0] for new in (20, 3))
    assert (ended.text, ended.ended) == ("abcdefgh", "end")
    assert (cut.text, cut.ended, cut.tokens) == ("abc", "length", 3)


def test_samples_are_seeded_by_prompt_and_not_by_batch(opened: Opened, prompts: list[list[int]]):
    def drawn_with(seed: int, **more: int) -> list[str]:
        decoding = Decoding(max_new_tokens=8, temperature=1.0, seed=seed)
        return [one.text for one in answers(opened, prompts, decoding, **more)]

    assert drawn_with(0) == drawn_with(0, token_budget=1)
    assert drawn_with(0) != drawn_with(1)
    assert len(set(answers_text(opened, [prompts[0]] * 6))) > 1


def answers_text(opened: Opened, asked: list[list[int]]) -> list[str]:
    return [one.text for one in answers(opened, asked, Decoding(max_new_tokens=8, temperature=1.0))]


def test_draws_follow_the_probabilities_and_the_nucleus():
    logits = torch.log(torch.tensor([[0.1, 0.6, 0.3]])).repeat(4, 1)
    assert drawn(logits, 1.0, 1.0, [0.0, 0.59, 0.61, 0.95]) == [1, 1, 2, 0]
    assert drawn(logits, 1.0, 0.8, [0.0, 0.59, 0.99, 0.999]) == [1, 1, 2, 2]
    assert drawn(logits, 1e-4, 1.0, [0.0, 0.5, 0.9, 0.999]) == [1] * 4


def test_no_prompt_no_answer(opened: Opened):
    assert generate(opened, [], max_new_tokens=3) == []
