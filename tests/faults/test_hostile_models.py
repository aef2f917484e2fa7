"""Strangers' models: nothing of theirs runs, and nothing of theirs is read without a bound."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Happened

from thresher.errors import ModelError, TaskError
from thresher.evaluation.judges import open_judge
from thresher.models import folder as folders
from thresher.models.load import config as load_config
from thresher.models.load import resolve


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.write_text, (self.path, "it ran")


@pytest.fixture
def stranger(model: str, tmp_path: Path) -> Path:
    """A model's folder that may be spoilt."""
    return Path(shutil.copytree(model, tmp_path / "stranger"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickled_weights_are_not_opened(name: str, stranger: Path, tmp_path: Path, happened: Happened):
    for weights in stranger.glob("*.safetensors"):
        weights.unlink()
    (stranger / name).write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(ModelError, match="only as a pickle"):
        resolve(str(stranger), cache=tmp_path)
    assert not (tmp_path / "ran").exists()
    happened("weights as a pickle", "measure", "refused before it is opened")


def test_an_adapter_with_a_pickle_beside_other_weights_is_not_opened(tmp_path: Path, happened: Happened):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "x"}')
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    (adapter / "other.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="only as a pickle"):
        resolve(str(adapter), cache=tmp_path)
    assert not (tmp_path / "ran").exists()
    happened("an adapter as a pickle beside other weights", "measure", "refused before it is opened")


def test_a_pickled_judge_is_not_opened(tmp_path: Path, happened: Happened):
    (tmp_path / "judge.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(TaskError, match="trust_pickle"):
        open_judge(str(tmp_path / "judge.pkl"))
    assert not (tmp_path / "ran").exists()
    happened("a judge as a pickle", "evaluate", "refused unless the task says trust_pickle")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_does_not_run(name: str, stranger: Path, tmp_path: Path, happened: Happened):
    told = json.loads((stranger / name).read_text())
    (stranger / name).write_text(json.dumps({**told, "auto_map": {"AutoConfig": "code.Config"}}))
    (stranger / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="--trust-remote-code"):
        resolve(str(stranger), cache=tmp_path)
    assert not (tmp_path / "ran").exists()
    happened(f"remote code (auto_map in {name})", "measure", "refused unless --trust-remote-code")


def test_code_runs_where_it_is_trusted(stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The flag does what it says: the folder's own configuration class is the one that is read."""
    monkeypatch.setenv(folders.TRUSTED, "")
    told = json.loads((stranger / "config.json").read_text())
    (stranger / "config.json").write_text(
        json.dumps({**told, "auto_map": {"AutoConfig": "own.Own"}, "model_type": "own"})
    )
    (stranger / "own.py").write_text(
        "from transformers import LlamaConfig\n\n\nclass Own(LlamaConfig):\n    model_type = 'own'\n"
    )
    path = resolve(str(stranger), cache=tmp_path, trust_remote_code=True)
    assert type(load_config(path)).__name__ == "Own"


def test_a_tokenizer_of_a_gigabyte_is_not_read(stranger: Path, tmp_path: Path, happened: Happened):
    with (stranger / "tokenizer.json").open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(ModelError, match=r"1,073,741,824 bytes"):
        resolve(str(stranger), cache=tmp_path)
    happened("a tokenizer file of 1 GB", "measure", "refused by its size, before it is read")


def test_folders_are_still_opened(model: str):
    assert folders.check(Path(model)) == Path(model)
