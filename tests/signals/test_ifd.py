"""IFD counts the same answer tokens above and below, equals a loop of one row at a time, and keeps METHODS 1.4.3."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from thresher.compute import meter
from thresher.core.pool import Pool
from thresher.data.chat import join
from thresher.models.load import encoded, open_model, open_tokenizer
from thresher.selectors.top_k import TopK
from thresher.signals.ifd import IFD, before_answer, with_and_without


def row(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def score(signal: IFD, pool: Pool) -> np.ndarray:
    return signal.measure(signal.model, pool)


def nll(path: str, ids: list[int]) -> np.ndarray:
    """-ln p of every token but the first."""
    with torch.inference_mode():
        logits = open_model(path, dtype="float32").model(torch.tensor([ids])).logits[0].double()
    return -torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()


@pytest.mark.parametrize("ratio_of", ["loss", "perplexity"])
@pytest.mark.parametrize("alone", ["marker", "nothing"])
def test_it_equals_two_losses_of_one_row_at_a_time(tiny_model: str, tiny_pool: Pool, ratio_of: str, alone: str):
    tokens, before = encoded(tiny_model, tiny_pool, 2048), list(before_answer(tiny_model, alone == "marker"))
    want = []
    for i in range(len(tiny_pool)):
        ids, trained = tokens.row(i)
        answer = ids[trained].tolist()
        n = len(answer) - (0 if before else 1)  # without anything before it the first cannot be predicted
        given, single = nll(tiny_model, ids.tolist())[-len(ids) :], nll(tiny_model, before + answer)
        given = given[np.flatnonzero(trained)[-n:] - 1]
        assert len(given) == len(single[-n:]) == n
        means = given.mean(), single[-n:].mean()
        want.append(means[0] / means[1] if ratio_of == "loss" else math.exp(means[0] - means[1]))
    got = score(IFD(model=tiny_model, ratio_of=ratio_of, alone=alone, dtype="float32"), tiny_pool)
    assert_allclose(got, want, rtol=1e-5)


def test_the_marker_is_the_templates_own_opening(tiny_model: str):
    tokenizer = open_tokenizer(tiny_model)
    turns = [{"role": "user", "content": "Hello"}]
    opened = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    marker = tokenizer.decode(before_answer(tiny_model, True))
    assert marker
    assert opened.endswith(marker)
    assert "Hello" not in marker
    assert before_answer(tiny_model, False) == ()


@pytest.mark.parametrize(("before", "counted"), [((), 2), ((9,), 3), ((9, 8), 3)])
def test_the_first_answer_token_counts_in_both_or_in_neither(before: tuple[int, ...], counted: int):
    ids, trained = np.array([1, 2, 3, 4, 5], np.int32), np.array([False, False, True, True, True])
    given, alone = with_and_without(join([ids], [trained], np.zeros(1, np.int64), "t"), before)
    assert given.answer_tokens().tolist() == alone.answer_tokens().tolist() == [counted]
    assert given.ids[given.trained].tolist() == alone.ids[alone.trained].tolist()
    assert alone.ids.tolist() == [*before, 3, 4, 5]


def test_a_row_that_is_all_answer_counts_no_first_token_either():
    ids = np.array([1, 2, 3], np.int32)
    given, alone = with_and_without(join([ids], [np.ones(3, bool)], np.zeros(1, np.int64), "t"), (9,))
    assert given.ids[given.trained].tolist() == alone.ids[alone.trained].tolist() == [2, 3]


def test_rows_with_too_few_answer_tokens_are_not_usable(tiny_model: str):
    pool = Pool.from_messages([row("q", ""), row("q", "yes, that is so")])
    for alone in ("marker", "nothing"):
        assert IFD(model=tiny_model, alone=alone).usable(pool).tolist() == [False, True]


def test_a_prompt_that_changes_nothing_gives_one(tiny_model: str):
    text = [{"role": "text", "content": "There are six keys."}]
    got = score(IFD(model=tiny_model, alone="nothing", dtype="float32"), Pool.from_messages([text]))
    assert_allclose(got, 1, rtol=1e-5)


def test_both_passes_are_billed(tiny_model: str, tiny_pool: Pool):
    signal = IFD(model=tiny_model)
    with meter.block("ifd") as block:
        score(signal, tiny_pool)
    price = signal.cost(signal.sizes(tiny_pool, None)).flops
    assert 1.0 <= block.receipt().flops / price < 1.3, "what ran is the price and some padding"


def test_the_two_ratios_can_rank_three_rows_differently():
    given, alone = np.array([0.5, 2.0, 3.0]), np.array([1.0, 3.5, 4.0])
    losses, perplexities = given / alone, np.exp(given - alone)
    assert losses.argsort().tolist() != perplexities.argsort().tolist()


def test_the_cap_leaves_rows_out_and_does_not_fill_up_from_them():
    ratio, price = np.array([0.9, 1.0, 1.2, 0.5]), np.ones(4)
    rng = np.random.default_rng(0)
    said = TopK(cap=1.0).choose(ratio, price=price, budget=9.0, rng=rng)
    strict = TopK(cap=0.9999999999999999).choose(ratio, price=price, budget=9.0, rng=rng)
    assert said.index.tolist() == [1, 0, 3]
    assert strict.index.tolist() == [0, 3]
