"""Pooled hidden states are what the formulas say, whoever the neighbours are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from thresher.compute import flops, meter
from thresher.core.pool import Pool
from thresher.models import encoder
from thresher.models.hidden import marked, pooled
from thresher.models.load import encoded, open_model


def by_definition(path: str, rows: Pool, pooling: str) -> np.ndarray:
    """One row at a time, sums written out."""
    opened, tokens = open_model(path, dtype="float32"), encoded(path, rows, 2048)
    out = []
    for i in range(len(rows)):
        ids, _ = tokens.row(i)
        with torch.inference_mode():
            h = (
                opened.model.base_model(torch.from_numpy(ids.astype(np.int64))[None])
                .last_hidden_state[0]
                .double()
                .numpy()
            )
        u = np.arange(1, len(ids) + 1)[:, None]
        out.append({"weighted": (u * h).sum(0) / u.sum(), "mean": h.mean(0), "last": h[-1], "cls": h[0]}[pooling])
    return np.array(out)


def every(path: str, rows: Pool):
    tokens = encoded(path, rows, 2048)
    return replace(tokens, trained=np.ones_like(tokens.trained))


def states(path: str, tokens, pooling: str, **how) -> np.ndarray:
    opened = open_model(path, dtype="float32")
    return pooled(
        opened.model.base_model, tokens, pooling, pad_id=opened.pad_id, architecture=opened.architecture, **how
    )


@pytest.mark.parametrize("pooling", ["weighted", "mean", "last", "cls"])
@pytest.mark.parametrize("token_budget", [1, 200, 100_000])
def test_it_equals_a_loop_of_one_row_at_a_time(tiny_model: str, tiny_pool: Pool, pooling: str, token_budget: int):
    got = states(tiny_model, every(tiny_model, tiny_pool), pooling, token_budget=token_budget)
    assert_allclose(got, by_definition(tiny_model, tiny_pool, pooling), atol=1e-5)


@pytest.mark.parametrize("token_budget", [1, 500])
def test_padded_is_the_mean_over_a_window_filled_up(tiny_encoder: str, tiny_pool: Pool, token_budget: int):
    """The padding attends to the row's tokens, the row's tokens not to it; neighbours do not matter."""
    tokens, window = encoder.tokenise(tiny_encoder, tiny_pool.text()[:6], 60), 64
    opened = encoder.open_encoder(tiny_encoder, dtype="float32")
    with meter.block("x") as block:
        got = opened.encode(tokens, "padded", fill=window, token_budget=token_budget)
    assert block.tokens == 6 * window
    for i in range(6):
        ids, _ = tokens.row(i)
        filled = np.full((1, window), opened.pad_id)
        filled[0, : len(ids)] = ids
        there = torch.from_numpy((np.arange(window) < len(ids)).astype(np.int64))[None]
        with torch.inference_mode():
            hidden = opened.model(torch.from_numpy(filled), attention_mask=there).last_hidden_state[0].numpy()
        assert_allclose(got[i], hidden.mean(0), atol=1e-5)
        assert np.abs(got[i] - hidden[: len(ids)].mean(0)).max() > 1e-3


def test_a_row_of_one_token_is_its_state(tiny_model: str):
    tokens = every(tiny_model, Pool.from_messages([[{"role": "text", "content": "a"}]])).take([0])
    one = replace(tokens, ids=tokens.ids[:1], trained=tokens.trained[:1], starts=np.array([0, 1]))
    got = {pooling: states(tiny_model, one, pooling) for pooling in ("weighted", "mean", "last", "cls")}
    for value in got.values():
        assert_allclose(value, got["mean"])


def test_only_marked_tokens_count_and_a_row_without_one_has_no_vector(tiny_model: str, tiny_pool: Pool):
    tokens = encoded(tiny_model, tiny_pool, 2048)
    mask = tokens.trained.copy()
    mask[tokens.starts[3] : tokens.starts[4]] = False
    got = states(tiny_model, replace(tokens, trained=mask), "mean")
    assert np.isnan(got[3]).all()
    assert marked(replace(tokens, trained=mask))[3] == 0
    assert np.isfinite(np.delete(got, 3, axis=0)).all()


def test_an_encoder_that_looks_both_ways_does_not_see_padding(tiny_encoder: str, tiny_pool: Pool):
    opened = encoder.open_encoder(tiny_encoder, dtype="float32")
    tokens = encoder.tokenise(tiny_encoder, tiny_pool.text(), 96)
    alone = np.concatenate([opened.encode(tokens.take([i]), "mean") for i in range(len(tokens))])
    assert_allclose(opened.encode(tokens, "mean", token_budget=100_000), alone, atol=1e-5)


def test_every_batch_is_billed_with_its_padding(tiny_model: str, tiny_pool: Pool):
    tokens = every(tiny_model, tiny_pool.take([0, 1, 2]))
    with meter.block("read") as block:
        states(tiny_model, tokens, "mean", token_budget=1_000_000)
    n, s = len(tokens), int(tokens.lengths().max())
    arch = open_model(tiny_model, dtype="float32").architecture
    assert block.receipt().tokens == n * s
    assert block.receipt().flops == pytest.approx(flops.embed(arch, n * s, n * s * s))
