"""A run says before training which test rows its pool and its selections hold; `check --test` says it of any pool."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher import contaminated
from thresher.core.store import Store
from thresher.data.read import load_pool
from thresher.errors import RecipeError
from thresher.evaluation.task import Task
from thresher.report.contamination import contamination as section
from thresher.setting import Setting, Sources
from thresher.spec import Arm, Spec
from thresher.training.recipe import Recipe

LONG = "Ann has {} red keys and finds some more in the old box under the stairs of her house near the sea, how many"


def written(path: Path, prompts: list[str]) -> str:
    path.write_text("".join(json.dumps({"prompt": p, "response": "12"}) + "\n" for p in prompts))
    return str(path)


@pytest.fixture
def opened(tmp_path: Path, store: Store) -> tuple[Spec, Setting]:
    pool = written(tmp_path / "pool.jsonl", [f"something else {i}" for i in range(5)] + [LONG.format("nine")])
    tests = written(tmp_path / "test.jsonl", [LONG.format("nine").upper(), "Who is it?", "Something else 3!"])
    sources, task = Sources(pool=pool), Task(task="t", data=tests, measure="held_out")
    arm = Arm("random", "random")
    spec = Spec(sources=sources, arms=(arm,), budgets=("2 rows",), seeds=(0,), recipe=Recipe(), tasks=(task,))
    rows = load_pool(pool, cache=store.root)
    return spec, Setting(sources, store, rows, None, None, None, None, Recipe())


def chosen(out: Path, name: str, rows: list[int]) -> None:
    folder = out / "selections" / name
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"row": range(6), "chosen": [i in rows for i in range(6)]}), folder / "scores.parquet")
    sums = {"scores.parquet": hashlib.sha256((folder / "scores.parquet").read_bytes()).hexdigest()}
    (folder / "card.json").write_text(json.dumps({"sha256": sums}))


def test_it_is_said_and_written_and_shown(tmp_path: Path, opened: tuple[Spec, Setting]):
    out, said = tmp_path / "out", []
    chosen(out, "dirty", [5, 0])
    chosen(out, "clean", [0, 1])
    contaminated.leave(*opened, out, said.append)
    where = "t: of 3 test rows 2 stand in the pool and 0 nearly do, in 2 of its rows"
    assert said == [f"{where}; 1 selections hold some, most dirty: 1."]
    (line,) = json.loads((out / "contamination.json").read_text())["tasks"]
    assert line["selections"] == {"dirty": 1}
    (made,) = section(out)
    assert made.blocks[0].text.startswith("Scores on t may be memory")
    assert made.blocks[1].rows[0][-2:] == ["1", "1"]


def test_a_damaged_selection_is_passed_over(tmp_path: Path, opened: tuple[Spec, Setting]):
    out, said = tmp_path / "out", []
    chosen(out, "dirty", [5, 0])
    (out / "selections" / "dirty" / "scores.parquet").write_bytes(b"PAR1")
    contaminated.leave(*opened, out, said.append)
    assert said[0].endswith("none of those was chosen.")
    assert json.loads((out / "contamination.json").read_text())["selections"] == 0


def test_nothing_is_said_where_nothing_was_taken(tmp_path: Path, opened: tuple[Spec, Setting]):
    out, said = tmp_path / "out", []
    chosen(out, "clean", [0, 1])
    contaminated.leave(*opened, out, said.append)
    assert said[0].endswith("none of those was chosen.")
    assert section(out)[0].blocks[0].text.startswith("The pool holds test rows, but no selection took one.")
    assert section(tmp_path) == []


def test_a_recipe_like_another_takes_what_it_does_not_say(tmp_path: Path):
    task = {"task": "t", "data": "x", "measure": "held_out"}
    first = {"pool": "demo", "model": "m", "methods": ["random"], "budgets": ["5%"], "seeds": [0], "tasks": [task]}
    (tmp_path / "first.yaml").write_text(json.dumps(first))
    (tmp_path / "second.yaml").write_text("like: first.yaml\nseeds: [3, 4]\n")
    (tmp_path / "third.yaml").write_text("like: second.yaml\nbudgets: ['7%']\n")
    spec = Spec.read(tmp_path / "third.yaml")
    assert (spec.seeds, spec.budgets, spec.arms[0].method) == ((3, 4), ("7%",), "random")
    for text in ("like: loop.yaml", "like: ../first.yaml", "like: 3"):
        (tmp_path / "loop.yaml").write_text(text)
        with pytest.raises(RecipeError, match="names another recipe in the same folder"):
            Spec.read(tmp_path / "loop.yaml")
