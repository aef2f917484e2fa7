"""The world that faults are put into, and the table of what happened (docs/faults.md).

A test that passes says its line with `happened`; it fails where docs/faults.md says something else of the same fault
and stage. `make faults` runs all of them, the long ones too, and writes the page anew; a run of some of them replaces
their lines.
"""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from commands import Command, Happened, known_tests

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEAD = """# Faults

Each line is a test in `tests/faults` that injects the fault into the stage, and that passed when `make faults` wrote
this table. The tests that take long (every single write of a stage, whole runs) run there only; the others run with
`make test`, and fail where the table says something else. It is written line by line while the tests pass: a fault and
stage without a line has not been seen to pass.

| fault | stage | what happened | test |
|---|---|---|---|
"""
_lines: set[tuple[str, str, str, str]] = set()
_run: set[str] = set()
_partly: set[str] = set()  # tests of which only some cases are run


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("-m")
    for item in items:
        if item.get_closest_marker("track") and "track" not in asked:
            item.add_marker(pytest.mark.skip(reason="needs trackers' packages; run by make track"))
        if item.get_closest_marker("faults") and not config.getoption("--fault-table") and "faults" not in asked:
            item.add_marker(pytest.mark.skip(reason="long; run by make faults"))
    if config.getoption("--fault-table"):  # what is quick comes first: broken off, the table holds what has passed
        items.sort(key=lambda item: bool(item.get_closest_marker("faults")) + bool({"every", "many"} & _words(item)))


def _words(item: pytest.Item) -> set[str]:
    return set(item.name.partition("[")[0].split("_"))


@pytest.fixture
def happened(request: pytest.FixtureRequest) -> Iterator[Happened]:
    """happened(fault, stage, what): a line of the table, the last thing a test says."""
    said: list[tuple[str, str, str, str]] = []
    name = f"{Path(request.node.path).name}::{request.node.originalname}"

    def line(fault: str, stage: str, what: str) -> None:
        said.append((fault, stage, what, f"`{name}`"))

    yield line
    assert said, "a test of a fault says what happened"
    _lines.update(said)
    if request.config.getoption("--fault-table"):
        _write(request.config.rootpath / request.config.getoption("--fault-table"))
        return
    page = [tuple(row.strip("| ").split(" | ")) for row in PAGE.read_text(encoding="utf-8").splitlines()]
    told = {row[:2]: row for row in page if len(row) == 4}
    for one in said:
        assert told.get(one[:2], one) == one, f"docs/faults.md is out of date: run `make faults`. Now: {_row(one)}"


def _row(line: tuple[str, str, str, str]) -> str:
    return "| " + " | ".join(line) + " |"


def pytest_collection_finish(session: pytest.Session) -> None:
    _run.update(
        f"`{item.path.name}::{item.originalname}`" for item in session.items if isinstance(item, pytest.Function)
    )


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    _partly.update(f"`{item.path.name}::{item.originalname}`" for item in items if isinstance(item, pytest.Function))


def _write(path: Path) -> None:
    """The lines of this session, and older ones of tests that are still there and not run now, or not in every case."""
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    there = {f"`{one}`" for one in known_tests()} - (_run - _partly)
    said = {line[:2] for line in _lines}
    rows = {row: tuple(row.strip("| ").split(" | ")) for row in old if row.endswith("` |")}
    kept = {row for row, line in rows.items() if line[-1] in there and line[:2] not in said}
    path.write_text(HEAD + "\n".join(sorted(kept | set(map(_row, _lines)))) + "\n", encoding="utf-8")


ROWS = 48


@pytest.fixture(scope="session")
def rows() -> list[dict[str, str]]:
    return [
        {"instruction": f"How many keys are {i} and {i % 7}?", "output": f"{i + i % 7} keys." + " So." * (i % 4)}
        for i in range(ROWS + 6)
    ]  # fmt: skip


def jsonl(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="session")
def model(tiny_model: str, cache: Path) -> str:
    """A model that need not be tuned before it reads."""
    folder = cache / "faults-model"
    shutil.copytree(tiny_model, folder)
    (folder / "thresher.json").write_text(json.dumps({"origin": "test", "random_start": False}))
    return str(folder)


@pytest.fixture
def world(tmp_path: Path, rows: list[dict[str, str]], model: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a pool, a target, recipes, a task; parts have ten rows, and the model is a trained one."""
    from thresher import pipeline

    for function in (pipeline.measure, pipeline._measure):
        monkeypatch.setitem(inspect.unwrap(function).__kwdefaults__, "part_size", 10)
    (tmp_path / "pool.jsonl").write_text(jsonl(rows[:ROWS]))
    (tmp_path / "target.jsonl").write_text(jsonl(rows[ROWS:]))
    (tmp_path / "recipe.yaml").write_text("{steps: 6, batch_size: 4, micro_batch: 4, max_tokens: 64, save_every: 2}\n")
    (tmp_path / "task.yaml").write_text("{task: keys, data: target.jsonl, measure: held_out}\n")
    (tmp_path / "run.yaml").write_text(
        f"pool: pool.jsonl\nmodel: {model}\nmethods: [random, longest]\nbudgets: [10 rows]\nseeds: [0]\n"
        "recipe: {steps: 2, batch_size: 4, micro_batch: 4, max_tokens: 64}\nworkers: 1\ntasks: [task.yaml]\n"
    )
    return tmp_path


@pytest.fixture
def command(model: str) -> Command:
    """command(stage, place): the stage's own command, with its store and its output in a place."""

    def line(stage: str, place: Path) -> tuple[object, ...]:
        store, out = ("--store", place / "store"), ("--out", place / "out")
        return {
            "read": ("check", "pool.jsonl", *store, "--json"),
            "measure": ("measure", "loss", "pool.jsonl", "--model", model, *store, "--json"),
            "select": (
                "select", "least-confidence", "pool.jsonl", "--scorer", model, "--budget", "9 rows", *out, *store,
            ),
            "train": ("train", "pool.jsonl", "--model", model, "--recipe", "recipe.yaml", *out, *store),
            "evaluate": ("evaluate", model, "--task", "task.yaml", *store, "--json"),
            "run": ("run", "run.yaml", *out, *store),
            "race": ("run", "run.yaml", "--race", "--budget-total", "1e15 flops", *out, *store),
            "report": ("report", place / "out"),
        }[stage]  # fmt: skip

    return line
