"""Row losses are what the definition says, whoever the neighbours are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from thresher.compute import flops, meter
from thresher.core.pool import Pool
from thresher.models.load import encoded, open_model
from thresher.models.loss import answer_loss, negative_log_likelihood, row_statistics


def by_definition(path: str, rows: Pool, max_tokens: int = 2048) -> np.ndarray:
    """One row at a time, every logit, the sum written out."""
    opened, tokens = open_model(path, dtype="float32"), encoded(path, rows, max_tokens)
    sums = []
    for i in range(len(rows)):
        ids, trained = tokens.row(i)
        with torch.inference_mode():
            logits = opened.model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0].double()
        log_p = torch.log_softmax(logits, -1)
        sums.append(-sum(float(log_p[u - 1, ids[u]]) for u in range(1, len(ids)) if trained[u]))
    return np.array(sums)


def test_the_loss_is_the_definition(tiny_model: str, tiny_pool: Pool):
    nll, count = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="float32")
    assert_allclose(nll, by_definition(tiny_model, tiny_pool), rtol=1e-5)
    assert_array_equal(count, encoded(tiny_model, tiny_pool, 2048).answer_tokens())


@pytest.mark.parametrize("token_budget", [1, 100, 700, 100_000])
def test_batch_size_never_changes_a_loss(tiny_model: str, tiny_pool: Pool, token_budget: int):
    """Padding and batching are our business, not the row's."""
    usual, _ = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="float32")
    other, _ = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="float32", token_budget=token_budget)
    assert_allclose(other, usual, rtol=1e-5, err_msg="rows see their neighbours: is padding read?")


def test_order_never_changes_a_loss(tiny_model: str, tiny_pool: Pool):
    order = np.random.default_rng(0).permutation(len(tiny_pool))
    usual, count = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="float32")
    moved, moved_count = answer_loss(tiny_model, tiny_pool.take(order), max_tokens=2048, dtype="float32")
    assert_allclose(moved, usual[order], rtol=1e-5)
    assert_array_equal(moved_count, count[order])


def test_a_longer_window_changes_no_loss_of_rows_that_fit(tiny_model: str, tiny_pool: Pool):
    a, _ = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="float32")
    b, _ = answer_loss(tiny_model, tiny_pool, max_tokens=3000, dtype="float32")
    assert_array_equal(a, b)


def test_all_tokens_are_the_answers_and_the_rest(tiny_model: str, tiny_pool: Pool):
    answer, few = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="float32")
    every, many = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="float32", of="all")
    assert np.all(every > answer)
    assert_array_equal(many, encoded(tiny_model, tiny_pool, 2048).lengths() - 1)
    assert np.all(many > few)


def test_an_answer_alone_does_not_depend_on_its_prompt(tiny_model: str):
    def row(prompt: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": prompt}, {"role": "assistant", "content": "There are 6 keys."}]

    pool = Pool.from_messages([row("one"), row("another and much longer prompt")])
    alone, count = answer_loss(tiny_model, pool, max_tokens=2048, dtype="float32", conditioned=False)
    given, given_count = answer_loss(tiny_model, pool, max_tokens=2048, dtype="float32")
    assert_allclose(alone[0], alone[1], rtol=1e-6)
    assert abs(given[0] - given[1]) > 1e-4
    assert_array_equal(count, given_count - 1), "no begin token: the first token has nothing to be predicted from"


def test_rows_without_an_answer_count_nothing_and_are_not_read(tiny_model: str):
    rows = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": a}] for a in ("", "yes")]
    with meter.block("loss") as block:
        nll, count = answer_loss(tiny_model, Pool.from_messages(rows), max_tokens=2048)
    tokens = encoded(tiny_model, Pool.from_messages(rows), 2048)
    assert (nll[0], count[0]) == (0, 0)
    assert nll[1] > 0
    assert block.receipt().tokens == tokens.lengths()[1]


def test_every_batch_is_billed_with_its_padding(tiny_model: str, tiny_pool: Pool):
    rows = tiny_pool.take([0, 1, 2, 3])
    opened, tokens = open_model(tiny_model, dtype="float32"), encoded(tiny_model, rows, 2048)
    assert 0 < len(tokens) * tokens.lengths().max() - tokens.lengths().sum() < 100, "some padding, but one batch"
    with meter.block("loss") as block:
        row_statistics(opened, tokens, negative_log_likelihood, token_budget=1_000_000)
    n, longest = len(tokens), int(tokens.lengths().max())
    answer = int(tokens.answer_tokens().sum())
    assert block.receipt().tokens == n * longest
    expected = flops.forward(opened.architecture, n * longest, n * longest**2, answer)
    assert block.receipt().flops == pytest.approx(expected)


def test_logits_exist_for_predicted_positions_only(tiny_model: str, tiny_pool: Pool):
    seen = []

    def statistic(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert logits.dtype == torch.float32
        seen.append(len(labels))
        return negative_log_likelihood(logits, labels)

    opened, tokens = open_model(tiny_model), encoded(tiny_model, tiny_pool, 2048)
    row_statistics(opened, tokens, statistic)
    assert sum(seen) == tokens.answer_tokens().sum()
    assert max(seen) <= 512


def test_a_loss_that_is_not_a_number_is_left_as_it_is(tiny_model: str, tiny_pool: Pool):
    """Whoever asked for it stops and names the row."""
    opened, tokens = open_model(tiny_model), encoded(tiny_model, tiny_pool, 2048)
    sums, _ = row_statistics(opened, tokens, lambda logits, labels: logits[:, 0] * float("nan"))
    assert np.all(np.isnan(sums))


def test_bfloat16_is_near(tiny_model: str, tiny_pool: Pool):
    exact, count = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="float32")
    rough, _ = answer_loss(tiny_model, tiny_pool, max_tokens=2048, dtype="bfloat16")
    assert_allclose(rough / count, exact / count, atol=0.03)
