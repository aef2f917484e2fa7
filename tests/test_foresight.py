"""A plan before its run: written once, from the recipe alone; afterwards the run's verdict stands beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thresher import foresight
from thresher.core.store import Store
from thresher.pilot import Pilot
from thresher.planning.prior import Prior
from thresher.planning.results import Panel, Run
from thresher.report.foreseen import foreseen
from thresher.report.section import Words
from thresher.spec import Spec


def ran(method: str, fraction: float, score: float) -> Run:
    return Run(method=method, model="x", task="x", metric="accuracy", score=score, selection_flops=0.0,
               training_flops=1e15 * fraction, fraction=fraction)  # fmt: skip


SEEN = Panel("x", "accuracy", "x", "", (
    ran("random", 0.1, 10.0), ran("random", 0.4, 20.0), ran("longest", 0.1, 30.0), ran("longest", 0.4, 40.0),
))  # fmt: skip


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    rows = [{"instruction": f"What is {i}?", "output": "It is a number. " * (1 + i % 5)} for i in range(300)]
    (tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, rows)))
    values = {
        "pool": "pool.jsonl", "model": "scratch:50k", "methods": ["zero-shot", "random", "longest"], "seeds": [0],
        "budgets": ["20 rows"], "recipe": {"max_tokens": 64},
        "tasks": [{"task": "t", "data": "pool.jsonl", "measure": "held_out"}],
    }  # fmt: skip
    return Spec.from_dict(values, folder=tmp_path)


def test_a_plan_is_made_once_and_judged_by_its_run(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def piloted(setting: object, share: float, budget: str, **more: object) -> Pilot:
        asked.append((share, budget, more["names"]))
        return Pilot(1e8, Prior.of([SEEN]), None, "a pilot saw this")

    monkeypatch.setattr(foresight, "pilot", piloted)
    path, store = tmp_path / "plan.json", Store(tmp_path / "store")
    ask = {"store": store, "budget": "1e9 flops", "share": 0.1, "say": lambda line: None}
    told = [foresight.before(spec, path, **ask) for _ in range(2)]
    assert told[0] == told[1]
    assert asked == [(0.1, "1e9 flops", ["random", "longest"])], "only once, and only what can be chosen with"
    assert told[0]["pilot_flops"] == told[0]["budget"]["pilot"] == 1e8
    assert told[0]["recommendation"]["total_flops"] <= 0.9e9
    assert told[0]["recommendation"]["method"] == "longest", "which the pilot saw far ahead"
    run = tmp_path / "run"
    run.mkdir()
    arms = [
        {"method": name, "scorer": "", "budget": "20 rows", "rows": 20, "fraction": 0.07, "score": score,
         "total_flops": 5e8, "training_flops": 5e8}
        for name, score in (("random", 2.0), ("longest", 3.0))
    ]  # fmt: skip
    panel = {"task": "t", "metric": "loss", "axis": "total_flops", "higher_is_better": False, "arms": arms}
    (run / "frontier.json").write_text(json.dumps({"panels": [panel]}))
    (verdict,) = foresight.after(told[0], run)
    assert verdict["regret"] == 1.0, "by the run the pilot was wrong, and it is said"
    (section,) = foreseen(run)
    words = [block.text for block in section.blocks if isinstance(block, Words)]
    assert verdict["sentence"] in words
    assert any("A pilot saw this" in text for text in words)


def test_a_run_without_a_plan_has_no_such_section(tmp_path: Path):
    assert foreseen(tmp_path) == []
