"""Attention in blocks is the same attention."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.testing import assert_close

from thresher.models import attention
from thresher.models.load import open_model


@pytest.mark.parametrize("length", [1, 7, 127, 128, 129, 300])
@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (6, 2), (3, 1)])
def test_blocks_are_causal_attention(length: int, heads: int, groups: int):
    draw = torch.Generator().manual_seed(length)
    q, k, v = (torch.randn(2, n, length, 8, generator=draw) for n in (heads, groups, groups))
    with torch.inference_mode():
        found, _ = attention.blocks(torch.nn.Module(), q, k, v, None, scaling=0.3)
        every = [part.repeat_interleave(heads // groups, 1) for part in (k, v)]
        usual = torch.nn.functional.scaled_dot_product_attention(q, *every, is_causal=True, scale=0.3)
    assert_close(found, usual.transpose(1, 2), rtol=1e-5, atol=1e-6)


def test_a_whole_model_gives_the_same_logits_with_and_without_padding_masks(tiny_model: str):
    """Where a mask is needed, the usual attention runs."""
    usual = open_model(tiny_model, dtype="float32").model
    blocked = copy.deepcopy(usual)
    blocked.set_attn_implementation(attention.NAME)
    ids = torch.arange(12).view(2, 6)
    for mask in (None, torch.ones_like(ids), torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])):
        with torch.inference_mode():
            a, b = (model(input_ids=ids, attention_mask=mask).logits for model in (usual, blocked))
        assert_close(b, a, rtol=1e-5, atol=1e-6)
