"""One training of a run diverges: the others are scored and compared, and it is said."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from thresher.core.cost import Receipt
from thresher.core.store import Store
from thresher.errors import NonFinite
from thresher.race import race
from thresher.report.page import write
from thresher.run import run
from thresher.spec import Spec
from thresher.training import sft


def rows(n: int, start: int = 0) -> str:
    asked = range(start, start + n)
    made = [{"instruction": f"Keys in {i} bags?", "output": f"{i} keys." * (1 + i % 3)} for i in asked]
    return "\n".join(map(json.dumps, made)) + "\n"


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    (tmp_path / "pool.jsonl").write_text(rows(40))
    (tmp_path / "test.jsonl").write_text(rows(6, start=200))
    values: dict[str, Any] = {
        "pool": "pool.jsonl", "model": "scratch:50k", "methods": ["random", "longest"], "budgets": ["4 rows", "8 rows"],
        "seeds": [0, 1], "workers": 1, "dtype": "float32",
        "recipe": {"learning_rate": 1e-3, "batch_size": 4, "micro_batch": 4, "max_tokens": 64},
        "tasks": [{"task": "keys", "data": "test.jsonl", "measure": "held_out"}],
    }  # fmt: skip
    return Spec.from_dict(values, folder=tmp_path)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models that were trained; the longest eight rows diverge under seed 1."""
    names: list[str] = []
    really = sft.train

    def train(model: str, stages: Any, *, seed: int, out: Path, **more: Any) -> Receipt:
        names.append(out.parent.name)
        if names[-1] == "longest-8_rows-1":
            raise NonFinite("the training diverged: after 2 steps its loss is not finite.")
        return really(model, stages, seed=seed, out=out, **more)

    monkeypatch.setattr(sft, "train", train)
    return names


def test_the_others_are_scored_compared_and_reported(spec: Spec, tmp_path: Path, trained: list[str]):
    out, store, said = tmp_path / "out", Store(tmp_path / "store"), []
    with pytest.raises(NonFinite, match=r"1 models in .* have no score: longest-8_rows-1. .* diverged: after 2 steps"):
        run(spec, out, store=store, say=said.append)
    assert "longest-8_rows-1: no score" in "\n".join(said)
    lines = pq.read_table(out / "results.parquet").to_pylist()
    every = product(("random", "longest"), ("4 rows", "8 rows"), (0, 1))
    assert {(line["method"], line["budget"], line["seed"]) for line in lines} == {*every} - {("longest", "8 rows", 1)}
    assert (out / "paired.json").exists()
    page = write(out).read_text()
    assert "Models without a score" in page
    assert "longest-8_rows-1" in page
    before = len(trained)
    with pytest.raises(NonFinite, match="have no score"):
        run(spec, out, store=store)
    assert len(trained) == before, "what is known is not tried again"


def test_a_race_says_so(spec: Spec, tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch):
    def diverges(*args: Any, **more: Any) -> Receipt:
        raise NonFinite("the training diverged: after 2 steps its loss is not finite.")

    monkeypatch.setattr(sft, "train", diverges)
    with pytest.raises(NonFinite, match="have no score"):
        race(spec, tmp_path / "race", store=Store(tmp_path / "store"), budget="1e12 flops")
