"""Whatever bytes a reader is given: rows, or one of our errors; no other exception, no hang, and no row lost unsaid."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as save_safetensors

from thresher.core import plain_yaml
from thresher.core.pool import Pool
from thresher.data.read import load_pool
from thresher.errors import ModelError, ResultsError, ThresherError
from thresher.evaluation.task import Task
from thresher.models import folder as folders
from thresher.models import gguf, load
from thresher.planning import results
from thresher.spec import Spec
from thresher.training.recipe import Recipe

SOME = settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip

FEW = settings(SOME, max_examples=8)  # a model's folder takes longer to refuse

texts = st.text(max_size=12)
plain = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
good = st.fixed_dictionaries(
    {"instruction": texts, "output": texts.filter(bool)}, optional={"id": texts, "source": texts}
)
turns = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "x"]), "content": values}), max_size=3
)
names = (
    st.sampled_from(["instruction", "output", "messages", "conversations", "text", "prompt", "completion", "id"])
    | texts
)
rows = good | st.fixed_dictionaries({"messages": turns}) | st.dictionaries(names, values, max_size=4) | values
junk = st.binary(max_size=60)


def loaded(path: Path, tmp_path: Path, **options: Any) -> Pool | None:
    """The pool, or None where one of our errors says why not."""
    with contextlib.suppress(ThresherError):
        return load_pool(str(path), cache=tmp_path / "cache", **options)
    return None


def counted(path: Path, tmp_path: Path, records: int) -> None:
    """With skip_bad every record is a row or is reported; without, a pool holds them all."""
    for skip_bad in (True, False):
        pool = loaded(path, tmp_path, skip_bad=skip_bad)
        if pool is not None:
            assert len(pool) + len(pool.skipped) == records
            assert skip_bad or not pool.skipped
            assert len(list(pool.messages())) == len(list(pool.origin())) == len(pool)


@SOME
@given(lines=st.lists(rows.map(json.dumps).map(str.encode) | junk, max_size=8), packed=st.booleans())
def test_lines_are_rows_or_reported(lines: list[bytes], packed: bool, tmp_path: Path):
    lines = [line.replace(b"\n", b" ") for line in lines]
    content = b"\n".join(lines)
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(content) if packed else content)
    counted(path, tmp_path, sum(bool(line.strip(b" \t\r")) for line in lines))


@SOME
@given(document=st.lists(rows, max_size=6) | values | junk)
def test_a_json_document(document: Any, tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    if isinstance(document, list):
        counted(path, tmp_path, len(document))
    loaded(path, tmp_path)


cells = texts | st.sampled_from(['"', '"a', "a,b", "=1+1", "\r", "\0", "a\nb"])


@SOME
@given(table=st.lists(st.lists(cells, min_size=1, max_size=3), max_size=6), raw=junk)
def test_a_table_of_cells(table: list[list[str]], raw: bytes, tmp_path: Path):
    path = tmp_path / "a.csv"
    text = io.StringIO()
    csv.writer(text).writerows([["instruction", "output"], *table])
    path.write_bytes(text.getvalue().encode("utf-8", "surrogatepass"))
    loaded(path, tmp_path, skip_bad=True)
    path.write_bytes(b"instruction,output\n" + raw)
    loaded(path, tmp_path, skip_bad=True)


@SOME
@given(
    table=st.lists(good, min_size=1, max_size=6),
    at=st.integers(0, 10_000),
    bit=st.integers(0, 7),
    cut=st.integers(0, 400),
)
def test_parquet_that_is_damaged(table: list[dict], at: int, bit: int, cut: int, tmp_path: Path):
    path = tmp_path / "a.parquet"
    columns = {
        name: [row[name].encode("utf-8", "replace").decode() for row in table] for name in ("instruction", "output")
    }
    pq.write_table(pa.table(columns), path)
    counted(path, tmp_path, len(table))
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    for damaged in (bytes(content), bytes(content[: max(0, len(content) - cut)])):
        path.write_bytes(damaged)
        loaded(path, tmp_path, skip_bad=True)


@SOME
@given(state=junk | values.map(json.dumps).map(str.encode), info=junk, arrow=junk)
def test_a_datasets_folder(state: bytes, info: bytes, arrow: bytes, tmp_path: Path):
    folder = tmp_path / "saved"
    folder.mkdir(exist_ok=True)
    for name, content in (("state.json", state), ("dataset_info.json", info), ("data-00000-of-00001.arrow", arrow)):
        (folder / name).write_bytes(content)
    assert loaded(folder, tmp_path) is None


yaml_values = (
    values.map(json.dumps)
    | st.text(max_size=60)
    | st.sampled_from(["&a [*a]", "!!python/name:os.system", "{a: 1, a: 2}"])
)
fields = st.sampled_from(
    ["epochs", "lora", "steps", "task", "measure", "data", "extract", "pool", "methods", "tasks", "seeds"]
)


@SOME
@given(
    document=st.dictionaries(fields, yaml_values, max_size=4).map(
        lambda d: "".join(f"{k}: {v}\n" for k, v in d.items())
    )
    | yaml_values
)
def test_recipes_runs_and_tasks(document: str, tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_bytes(document.encode("utf-8", "surrogatepass"))
    for read in (Recipe.read, Spec.read, Task.read):
        with contextlib.suppress(ThresherError):
            read(path)
    with contextlib.suppress(plain_yaml.BadYaml):
        assert isinstance(plain_yaml.read(path), dict)


numbers = st.floats().map(repr) | st.integers().map(str) | texts


@SOME
@given(table=st.lists(st.lists(numbers, min_size=8, max_size=9), max_size=4), raw=junk)
def test_results_tables(table: list[list[str]], raw: bytes, tmp_path: Path):
    head = ["method", "model", "task", "metric", "score", "selection_flops", "training_flops", "rows"]
    text = io.StringIO()
    csv.writer(text).writerows([head, *table])
    for content in (text.getvalue().encode("utf-8", "surrogatepass"), raw, ",".join(head).encode() + b"\n" + raw):
        (tmp_path / "results.csv").write_bytes(content)
        with contextlib.suppress(ResultsError):
            assert results.read(tmp_path / "results.csv").runs


@pytest.fixture(scope="module")
def header() -> bytes:
    """A GGUF file of nothing but its metadata."""
    name, word = b"general.architecture", b"llama"
    pairs = struct.pack("<Q", len(name)) + name + struct.pack("<I", 8) + struct.pack("<Q", len(word)) + word
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pairs


@FEW
@given(at=st.integers(4, 70), bit=st.integers(0, 7), cut=st.integers(4, 70), more=junk)
def test_gguf_that_is_damaged(at: int, bit: int, cut: int, more: bytes, header: bytes, tmp_path: Path):
    path = tmp_path / "a.gguf"
    flipped = bytearray(header)
    flipped[at % len(flipped)] ^= 1 << bit
    for content in (bytes(flipped), header[:cut], header + more):
        path.write_bytes(content)
        with pytest.raises(ThresherError):
            gguf.convert(path, origin="a", home=tmp_path / "models")


@FEW
@given(
    content=junk, told=values | st.dictionaries(st.sampled_from(["auto_map", "model_type", "architectures"]), values)
)
def test_model_folders(content: bytes, told: Any, tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "model.safetensors").write_bytes(content)
    with contextlib.suppress(ThresherError):
        folders.check(folder)
        load.open_model(str(folder))


@FEW
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.integers(1, 200))
def test_weights_that_are_damaged(at: int, bit: int, cut: int, tmp_path: Path, model: str):
    content = bytearray(save_safetensors({"a": np.zeros(4, np.float32)}))
    content[at % len(content)] ^= 1 << bit
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes((Path(model) / "config.json").read_bytes())
    (folder / "model.safetensors").write_bytes(bytes(content[: max(8, len(content) - cut)]))
    with pytest.raises(ModelError):
        load.open_model(load.resolve(str(folder), cache=tmp_path))
