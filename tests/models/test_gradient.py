"""Gradients of rows in batches are those of one row at a time, in every family, whoever the neighbours are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from thresher.compute import meter
from thresher.compute.flops import Architecture, lora_train
from thresher.data.chat import Encoded, join
from thresher.errors import ModelError, NonFinite
from thresher.models import gradient
from thresher.models.projection import make

VOCAB = 61
FAMILIES = ("llama", "gpt_neox", "gpt2", "qwen2", "gemma2")
FULL = {
    "llama": ["1.self_attn.q_proj.weight", "down_proj"],
    "gpt_neox": ["1.attention.query_key_value", "dense_h_to_4h.bias"],
    "gpt2": ["1.attn.c_attn", "mlp.c_proj"],
    "qwen2": ["0.self_attn.k_proj", "up_proj"],
    "gemma2": ["0.self_attn.v_proj", "gate_proj"],
}


def base(family: str, layers: int = 2) -> torch.nn.Module:
    """A tiny random model of a family, its head with a factor of its own."""
    from transformers import AutoConfig, AutoModelForCausalLM

    wide = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": layers, "num_attention_heads": 2}
    some = {"num_key_value_heads": 1, "head_dim": 8}
    options = {
        "llama": wide | some,
        "gpt_neox": wide | {"rotary_pct": 0.5},
        "gpt2": {"n_embd": 16, "n_layer": layers, "n_head": 2, "n_positions": 64},
        "qwen2": wide | some,
        "gemma2": wide | some | {"sliding_window": 8, "final_logit_softcapping": 5.0},
    }[family]
    torch.manual_seed(0)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(family, vocab_size=VOCAB, **options, **special)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager" if family == "gemma2" else "sdpa")
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            parameter.data.normal_(0, 0.2)
        elif name.endswith("bias"):
            parameter.data.normal_(0, 0.1)
    return model


def adapted(family: str, layers: int = 2, dropout: float = 0.1, **options: object) -> torch.nn.Module:
    """The same with adapters on all linear layers, none of them zero."""
    from peft import LoraConfig, get_peft_model

    fan = {"fan_in_fan_out": True} if family == "gpt2" else {}
    config = LoraConfig(
        r=3, lora_alpha=12, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM", **fan, **options
    )
    network = get_peft_model(base(family, layers).requires_grad_(False), config)
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.2)
    return network.train()


def rows(n: int, longest: int = 14, seed: int = 0) -> Encoded:
    """n rows of different lengths, the answer in two pieces."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, longest, n)
    trained = [(np.arange(s) >= s // 2) | (np.arange(s) == 1) for s in lengths]
    return join([rng.integers(0, VOCAB, s) for s in lengths], trained, np.zeros(n, np.int64), "none")


def one_by_one(network: torch.nn.Module, tokens: Encoded, match: object) -> torch.Tensor:
    """The definition: a batch of one, the loss written out, autograd."""
    chosen = gradient.trainable(network, match)
    network.eval()
    for _, parameter in chosen:
        parameter.requires_grad_(True)
    found = []
    for i in range(len(tokens)):
        ids, trained = tokens.row(i)
        x = torch.from_numpy(ids.astype(np.int64))
        log_p = torch.log_softmax(network(input_ids=x[None], use_cache=False).logits[0], -1)
        answer = [u for u in range(1, len(x)) if trained[u]]
        loss = -sum(log_p[u - 1, x[u]] for u in answer) / len(answer)
        parts = torch.autograd.grad(loss, [parameter for _, parameter in chosen])
        found.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(found)


def apart(found: torch.Tensor, true: torch.Tensor) -> float:
    """The largest relative distance of a row."""
    return float(((found - true).norm(dim=1) / true.norm(dim=1)).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_in_batches_equal_one_row_at_a_time(family: str):
    network, tokens = adapted(family), rows(32)
    true = one_by_one(network, tokens, "lora_")
    network.train()
    for b, n in ((1, 3), (8, 16), (32, 32)):
        found = torch.cat([gradient.per_example(network, 5, tokens, range(i, i + b)) for i in range(0, n, b)])
        assert found.shape == (n, gradient.parameters(network))
        assert apart(found, true[:n]) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_layers_by_name_equal_one_row_at_a_time(family: str):
    network, tokens = base(family), rows(8)
    true = one_by_one(network, tokens, FULL[family])
    assert apart(gradient.per_example(network, 0, tokens, slice(None), match=FULL[family]), true) < 1e-5
    alone = torch.cat([gradient.per_example(network, 0, tokens, [i], match=FULL[family]) for i in range(8)])
    assert apart(alone, true) < 1e-5


def test_padding_is_never_read():
    """What stands behind a row, and how much of it, changes nothing."""
    network, tokens = adapted("llama"), rows(2)
    long = join(
        [tokens.row(0)[0], np.arange(60) % VOCAB], [tokens.row(0)[1], np.arange(60) > 50], np.zeros(2, np.int64), "none"
    )
    usual = gradient.per_example(network, 0, tokens, [0])
    for pad in (0, 7, VOCAB - 1):
        assert apart(gradient.per_example(network, pad, long, [0, 1])[:1], usual) < 1e-5


def test_finite_differences_say_the_same():
    """In float64, along single weights of a two-layer model (whose norms stay in float64, unlike Llama's)."""
    network, tokens = adapted("gpt2", dropout=0.0).double().eval(), rows(3)
    found = gradient.per_example(network, 0, tokens, slice(None))
    rng, at = np.random.default_rng(0), 0

    def losses() -> np.ndarray:
        return np.array([float(-row) for row in _means(network, tokens)])

    for _, parameter in gradient.trainable(network):
        place = int(rng.integers(parameter.numel()))
        flat, step = parameter.data.view(-1), 1e-5
        flat[place] += step
        up = losses()
        flat[place] -= 2 * step
        down = losses()
        flat[place] += step
        assert_allclose(found[:, at + place], (up - down) / (2 * step), rtol=1e-4, atol=1e-7)
        at += parameter.numel()


@torch.no_grad()
def _means(network: torch.nn.Module, tokens: Encoded) -> list[torch.Tensor]:
    means = []
    for i in range(len(tokens)):
        ids, trained = tokens.row(i)
        x = torch.from_numpy(ids.astype(np.int64))
        log_p = torch.log_softmax(network(input_ids=x[None], use_cache=False).logits[0], -1)
        means.append(torch.stack([log_p[u - 1, x[u]] for u in range(1, len(x)) if trained[u]]).mean())
    return means


def test_every_row_comes_once_in_batches_of_like_length():
    network, tokens = adapted("gpt2"), rows(20)
    true = gradient.per_example(network, 0, tokens, slice(None))
    seen = []
    for some, found in gradient.each(network, tokens, token_budget=40):
        assert tokens.lengths()[some].max() * len(some) <= 40
        assert apart(found, true[some]) < 1e-5
        seen += some.tolist()
    assert sorted(seen) == list(range(20))


@pytest.mark.parametrize("kind", ["rademacher", "sjlt", "srht", "factored", "none"])
def test_layer_by_layer_is_the_projection_of_the_whole(kind: str):
    network, tokens = adapted("llama"), rows(9)
    whole = gradient.per_example(network, 0, tokens, slice(None))
    shapes = [tuple(parameter.shape) for _, parameter in gradient.trainable(network)]
    projection = make(kind, whole.shape[1], 64, 1, shapes)
    true, seen = projection(whole), 0
    for some, found in gradient.each_projected(network, tokens, projection, token_budget=50):
        assert apart(found, true[some]) < 1e-5
        seen += len(some)
    assert seen == 9


def test_biases_layer_by_layer_too():
    network, tokens = base("gpt2"), rows(4)
    match = ["c_attn.bias", "c_fc"]
    whole = gradient.per_example(network, 0, tokens, slice(None), match=match)
    projection = make("sjlt", whole.shape[1], 64, 1)
    for some, found in gradient.each_projected(network, tokens, projection, match=match):
        assert apart(found, projection(whole)[some]) < 1e-5


def test_a_layer_used_twice_gets_both_parts():
    network, tokens = base("llama"), rows(4)
    network.model.layers[1] = network.model.layers[0]
    match = ["o_proj.weight", "down_proj.weight"]
    found = gradient.per_example(network, 0, tokens, slice(None), match=match)
    assert apart(found, one_by_one(network, tokens, match)) < 1e-5


def test_the_network_is_left_as_it_was():
    network, tokens = adapted("llama"), rows(3)
    asked = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    gradient.per_example(network, 0, tokens, slice(None))
    assert network.training
    assert {name: parameter.requires_grad for name, parameter in network.named_parameters()} == asked
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_bfloat16_is_near_and_comes_as_float32():
    network, tokens = adapted("llama"), rows(12)
    exact = gradient.per_example(network, 0, tokens, slice(None))
    rough = gradient.per_example(network.bfloat16(), 0, tokens, slice(None))
    assert rough.dtype == torch.float32
    assert 1e-5 < apart(rough, exact) < 0.1


def test_memory_limits_the_rows_of_a_batch():
    network, tokens = adapted("llama"), rows(30, longest=30)
    p = gradient.parameters(network)
    footprint = gradient.Footprint.of(network, gradient.match_layers(network, "lora_"))
    room = footprint.head + 6 * (4 * p + footprint.row(int(tokens.lengths().max())))
    free = list(gradient.batches(tokens, token_budget=2000, p=p))
    tight = list(gradient.batches(tokens, token_budget=2000, memory_bytes=room, p=p, footprint=footprint))
    kept = 4 * p * max(map(len, tight))
    assert max(map(len, free)) > max(map(len, tight)) >= 3
    for some in tight:
        assert footprint.head + kept + len(some) * footprint.row(int(tokens.lengths()[some].max())) <= room
    assert sorted(np.concatenate(tight)) == sorted(np.concatenate(free)) == list(range(30))
    estimate = gradient.memory_estimate(network, tokens, memory_bytes=room)
    assert estimate <= footprint.weights + room < gradient.memory_estimate(network, tokens)
    with pytest.raises(ModelError, match="one row of 29 tokens needs"):
        list(gradient.batches(tokens, memory_bytes=4 * p - 1, p=p))


def test_the_footprint_grows_with_tokens():
    for family in ("llama", "gemma2"):
        network = adapted(family)
        footprint = gradient.Footprint.of(network, gradient.match_layers(network, "lora_"))
        assert 0 < footprint.row(10) < footprint.row(100)
        assert (footprint.per_square > 1) == (family == "gemma2"), "eager attention keeps its square"


def test_work_is_metered():
    network, tokens = adapted("llama"), rows(4)
    with meter.block("gradients") as block:
        gradient.per_example(network, 0, tokens, slice(None))
    b, s = 4, int(tokens.lengths().max())
    arch = Architecture.of(network.get_base_model().config)
    expected = lora_train(arch, 3, "all-linear", b * s, b * s * s, int(tokens.answer_tokens().sum()))
    assert block.receipt().tokens == b * s
    assert block.receipt().flops == pytest.approx(expected, rel=0.3), "the price leaves out what layer one saves"


def test_a_row_without_an_answer_does_not_come_and_alone_is_silent():
    network, tokens = adapted("llama"), rows(3)
    tokens.trained[tokens.starts[1] : tokens.starts[2]] = False
    assert sorted(i for some, _ in gradient.each(network, tokens) for i in some) == [0, 2]
    found = gradient.per_example(network, 0, tokens, slice(None))
    assert_array_equal(gradient.silent(found), [False, True, False])


def test_rows_that_are_not_numbers_are_named():
    network, tokens = adapted("llama"), rows(6)
    bad = int(tokens.row(4)[0][0])
    network.get_base_model().get_input_embeddings().weight.data[bad] = float("nan")
    hit = [i for i in range(6) if bad in tokens.row(i)[0]]
    with pytest.raises(NonFinite, match=rf"{len(hit)} of 6 rows are not numbers, first rows {hit[0]}"):
        gradient.per_example(network, 0, tokens, slice(None))


def test_what_does_not_match_is_said():
    with pytest.raises(ModelError, match="none an adapter: train some"):
        gradient.trainable(base("llama"))
    with pytest.raises(ModelError, match=r"'qproj'.*28 of them adapters|'qproj'.*adapters \('lora_'\)"):
        gradient.trainable(adapted("llama"), "qproj")


@pytest.mark.parametrize(
    ("match", "kind"), [("norm", "LlamaRMSNorm"), ("embed_tokens", "Embedding"), (["q_proj", "norm"], "RMSNorm")]
)
def test_parameters_that_are_no_linear_layers_are_refused(match: object, kind: str):
    with pytest.raises(ModelError, match=kind):
        gradient.per_example(base("llama"), 0, rows(2), slice(None), match=match)


def test_the_output_layer_and_unused_layers_are_refused():
    network = base("llama")
    network.spare = torch.nn.Linear(3, 3)
    with pytest.raises(ModelError, match="were not run"):
        gradient.per_example(network, 0, rows(2), slice(None), match=["q_proj", "spare"])
    with pytest.raises(ModelError, match="cannot be told there"):
        gradient.per_example(network, 0, rows(2), slice(None), match="lm_head")


def test_dora_is_refused():
    with pytest.raises(ModelError, match="magnitude"):
        gradient.per_example(adapted("llama", use_dora=True), 0, rows(2), slice(None))


def test_a_projection_of_another_size_is_refused():
    with pytest.raises(ModelError, match="a gradient here has"):
        next(gradient.each_projected(adapted("llama"), rows(2), make("sjlt", 999, 8, 0)))
