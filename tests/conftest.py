"""A tiny random model with its tokenizer, a tiny pool, an empty store; nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import pytest

from thresher.core.pool import Pool
from thresher.core.store import Store

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine is not a failure
hypothesis.settings.load_profile("untimed")


def sums(n: int) -> list[list[dict[str, str]]]:
    """n rows of question and answer, of different lengths."""
    words = ["apples", "old wooden boats", "birds over the quiet northern sea", "keys", "letters from home"]
    return [
        [
            {"role": "user", "content": f"Ann has {i} {words[i % 5]} and finds {i % 7} more. How many are there?"},
            {"role": "assistant", "content": f"There are {i + i % 7} {words[i % 5]}." + " That is all." * (i % 4)},
        ]
        for i in range(n)
    ]


@pytest.fixture(scope="session")
def tiny_pool() -> Pool:
    """Forty rows in two groups."""
    return Pool.from_messages(sums(40), ["even" if i % 2 == 0 else "odd" for i in range(40)], name="tiny")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where models made by the tests are kept for the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_model(tiny_pool: Pool, cache: Path) -> str:
    """A folder: Llama-shaped, random, some 50k parameters, with a byte-pair tokenizer and a chat template."""
    from thresher.models.load import resolve

    return resolve("scratch:120k", pool=tiny_pool, cache=cache)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_model: str, cache: Path) -> str:
    """A folder: a BERT-shaped encoder, random, that looks both ways; the tiny model's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    from thresher.models.load import open_tokenizer

    tokenizer, folder = open_tokenizer(tiny_model), cache / "encoder"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
        max_position_embeddings=96,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fault-table docs/faults.md` writes the table of what tests/faults found; `make faults` does."""
    parser.addoption("--fault-table", default=None, metavar="PAGE.md", help="write what happened at which fault")
