"""Every reader of files, as a function of bytes: it gives something, or one of our errors, and no row is lost unsaid.

`fuzz_readers.py` drives them by coverage (atheris), `test_found.py` with what that found.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from thresher import requested
from thresher.core import checksum, events, plain_yaml
from thresher.core.store import Store
from thresher.data import formats
from thresher.data.read import load_pool
from thresher.data.records import BLANK
from thresher.errors import ThresherError
from thresher.evaluation.task import Task
from thresher.models import folder as folders
from thresher.models import gguf_header
from thresher.planning import results
from thresher.spec import Spec
from thresher.training.recipe import Recipe

Reader = Callable[[bytes, Path], None]  # reader(content, an empty folder)


def pool_of(path: Path, records: int | None = None) -> None:
    """Both ways of reading a pool; every record is a row or is reported."""
    for skip_bad in (True, False):
        with contextlib.suppress(ThresherError):
            pool = load_pool(str(path), cache=path.parent / "cache", skip_bad=skip_bad)
            assert len(list(pool.messages())) == len(list(pool.origin())) == len(pool)
            assert skip_bad or not pool.skipped
            assert records in (None, len(pool) + len(pool.skipped)), "a row is lost"
    shutil.rmtree(path.parent / "cache", ignore_errors=True)


def file_of(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def jsonl(content: bytes, folder: Path) -> None:
    records = sum(bool(line.strip(BLANK)) for line in content.split(b"\n"))
    pool_of(file_of(folder, "a.jsonl", content), records)


def json_document(content: bytes, folder: Path) -> None:
    pool_of(file_of(folder, "a.json", content))


def csv_table(content: bytes, folder: Path) -> None:
    pool_of(file_of(folder, "a.csv", content))


def parquet(content: bytes, folder: Path) -> None:
    pool_of(file_of(folder, "a.parquet", content))


def packed(content: bytes, folder: Path) -> None:
    """The bytes as a gzip file, and as what was packed."""
    pool_of(file_of(folder, "a.jsonl.gz", content))
    records = sum(bool(line.strip(BLANK)) for line in content.split(b"\n"))
    pool_of(file_of(folder, "b.jsonl.gz", gzip.compress(content, 1)), records)


def shapes(content: bytes, folder: Path) -> None:
    """A row in whatever shape: detected, and converted by every format."""
    with contextlib.suppress(ValueError, RecursionError):
        row = json.loads(content)
        if isinstance(row, dict):
            with contextlib.suppress(formats.BadRow):
                assert formats.detect(row)[0] in formats.FORMATS
            for convert in formats.FORMATS.values():
                with contextlib.suppress(formats.BadRow):
                    turns = convert(row)
                    assert turns
                    assert all(isinstance(turn["content"], str) for turn in turns)


def yaml(content: bytes, folder: Path) -> None:
    with contextlib.suppress(plain_yaml.BadYaml):
        assert isinstance(plain_yaml.read(file_of(folder, "a.yaml", content)), dict)


def recipe(content: bytes, folder: Path) -> None:
    Recipe.read(file_of(folder, "a.yaml", content))


def run_file(content: bytes, folder: Path) -> None:
    Spec.read(file_of(folder, "a.yaml", content))


def task(content: bytes, folder: Path) -> None:
    found = Task.read(file_of(folder, "a.yaml", content))
    assert isinstance(found.extracted("The answer is #### 42."), str)
    assert isinstance(found.comparable("The 1,200."), str)
    assert found.metric


def gguf(content: bytes, folder: Path) -> None:
    assert gguf_header.elements(file_of(folder, "a.gguf", content)) > 0


def config(content: bytes, folder: Path) -> None:
    """A model's folder: its configuration, and weights of nothing."""
    for name in ("config.json", "tokenizer_config.json"):
        file_of(folder, name, content)
    file_of(folder, "model.safetensors", b"")
    folders.check(folder)


def results_csv(content: bytes, folder: Path) -> None:
    assert results.read(file_of(folder, "results.csv", content)).runs


def results_parquet(content: bytes, folder: Path) -> None:
    assert results.read(file_of(folder, "results.parquet", content)).runs


def card(content: bytes, folder: Path) -> None:
    """What replay takes from a card before anything is chosen."""
    found = requested.read(file_of(folder, "card.json", content))
    assert isinstance(found.sources.pool, str)


def manifest(content: bytes, folder: Path) -> None:
    """A measurement of which somebody else wrote every file: as it was written, or measured again."""
    store = Store(folder)
    for name in ("loss-1", "loss-2.part"):
        (folder / name).mkdir()
        for file in ("manifest.json", "values.npy", "000001.json", "000001.npy"):
            file_of(folder / name, file, content)
    store.has("loss-1")
    store.parts_done("loss-2")
    with store.claim("loss-1"), store.claim("loss-2"):
        assert store.parts_done("loss-2") <= {1}
    checksum.of_bytes(content)


def event_lines(content: bytes, folder: Path) -> None:
    assert isinstance(events.read(file_of(folder, events.FILE, content)), list)


READERS: dict[str, Reader] = {
    "jsonl": jsonl, "json": json_document, "csv": csv_table, "gzip": packed, "parquet": parquet, "formats": shapes,
    "yaml": yaml, "recipe": recipe, "run": run_file, "task": task, "gguf": gguf, "config": config,
    "results-csv": results_csv, "results-parquet": results_parquet, "card": card, "manifest": manifest,
    "events": event_lines,
}  # fmt: skip


def read(name: str, content: bytes, folder: Path) -> None:
    """Once: whatever is not one of our errors is a fault."""
    with contextlib.suppress(ThresherError):
        READERS[name](content, folder)
