"""Lines are added to a results table, replaced when the same model is scored again, and refused when it is another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thresher.errors import ResultsError
from thresher.evaluation.outcome import Outcome
from thresher.planning import results
from thresher.planning.results import Run
from thresher.tabled import add, lines_of

LINE = Run(
    method="random", model="m", task="t", metric="acc", score=0.5, selection_flops=0.0, training_flops=8.0, rows=4,
    seed=0, pool="p", protocol="equal-epochs", test_rows=10,
)  # fmt: skip
FOUND = Run(method="zero-shot", model="m", task="t", metric="acc", score=0.2, selection_flops=0.0, training_flops=0.0,
            rows=0, fraction=0.0, test_rows=10)  # fmt: skip


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_added_and_replaced(tmp_path: Path, name: str):
    path = tmp_path / "new" / name
    assert add(path, [LINE, FOUND]) == []
    assert add(path, [replace(LINE, seed=1, training_flops=9.0)]) == []
    assert add(path, [replace(LINE, score=0.75)]) == [LINE]
    assert sorted((run.seed, run.score) for run in results.read(path).runs if run.seed is not None) == [
        (0, 0.75), (1, 0.5),
    ]  # fmt: skip
    assert len(results.read(path)) == 3


def test_another_model_of_the_same_name_is_refused(tmp_path: Path):
    path = tmp_path / "t.csv"
    add(path, [LINE])
    with pytest.raises(ResultsError, match=r"random, 4 rows, seed 0, t acc that is of another model: its training_fl"):
        add(path, [replace(LINE, training_flops=9.0)])
    assert results.read(path).runs == (LINE,)


def test_several_processes_add_to_one_table(tmp_path: Path):
    path = tmp_path / "t.csv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: add(path, [replace(LINE, seed=seed)]), range(16)))
    assert sorted(run.seed or 0 for run in results.read(path).runs) == list(range(16))


def test_a_score_that_is_no_number_is_refused():
    known = {"method": "a", "model": "m", "rows": 1, "selection_flops": 0.0, "training_flops": 1.0}
    nan = Outcome("t", "acc", float("nan"), float("nan"), 1, np.zeros(1))
    with pytest.raises(ResultsError, match="t acc: score is nan"):
        lines_of(known, nan)
    with_error = Outcome("t", "acc", 0.5, float("nan"), 1, np.zeros(1))
    line, = lines_of(known, with_error, aside=":chat", before_task="harness:")
    assert (line.method, line.task, line.score_se) == ("a:chat", "harness:t", None)


def test_a_model_as_it_was_found_stands_beside_every_pool():
    elsewhere = replace(LINE, pool="q")
    own = replace(FOUND, pool="q", protocol="equal-epochs", score=0.3)
    found = results.Results((FOUND, LINE, elsewhere, own)).panels()
    assert [(panel.pool, [run.score for run in panel.runs]) for panel in found] == [
        ("p", [0.5, 0.2]), ("q", [0.5, 0.3]),
    ]  # fmt: skip
    alone, = results.Results((FOUND,)).panels()
    assert alone.runs == (FOUND,)
