"""thresher demo: a plan first, then the run, then the run's verdict on the plan; all of it in the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Command, alpaca, write_jsonl

from thresher.spec import Spec


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    """The demo with a recipe of seconds."""
    write_jsonl(tmp_path / "pool.jsonl", alpaca(200))
    write_jsonl(tmp_path / "near.jsonl", alpaca(6, start=500))
    values: dict[str, Any] = {
        "pool": "pool.jsonl", "target": "near.jsonl", "model": "scratch:30k", "seeds": [0],
        "methods": ["zero-shot", "random", "bm25"], "budgets": ["40 rows"],
        "recipe": {"max_tokens": 48, "learning_rate": 0.01},
        "tasks": [{"task": "t", "data": "near.jsonl", "measure": "held_out"}], "workers": 1,
    }  # fmt: skip
    spec = Spec.from_dict(values, folder=tmp_path)
    monkeypatch.setattr(Spec, "read", classmethod(lambda cls, path: spec))
    monkeypatch.setattr("thresher.pilot.SMALLEST", 20)
    monkeypatch.setattr("thresher.cli.demo.BUDGET", "5e8 flops")
    rows = lambda selected: {"relevant": len(selected.read_text().splitlines()) / 40}  # noqa: E731 - nothing is planted
    monkeypatch.setattr("thresher.data.synthetic.planted_shares", rows)
    return spec


def test_the_plan_comes_before_the_run_and_the_verdict_after(small: Spec, thresher: Command, tmp_path: Path):
    out = tmp_path / "out"
    said = thresher("demo", "--out", out)
    assert said.code == 0, said.err
    plan = json.loads((out / "plan.json").read_text())
    judged = json.loads((out / "run" / "plan.json").read_text())["verdicts"]
    told = " ".join(said.out.split())
    places = [told.index(" ".join(text.split())) for text in
              ("before the run", plan["reason"], "against random", judged[0]["sentence"])]  # fmt: skip
    assert places == sorted(places)
    assert [line.split()[0] for line in said.out.splitlines() if "relevant 100%" in line] == [
        "bm25-40_rows-0", "random-40_rows-0"
    ], "selections, and nothing that lies beside them"  # fmt: skip
    assert 0 < plan["pilot_flops"] == pytest.approx(plan["budget"]["pilot"]), "the pilot is on the bill"
    assert plan["recommendation"]["total_flops"] <= plan["budget"]["left"] < plan["budget"]["amount"]
    assert plan["score_unit"] == "loss", "the pilot trained the model itself, so a score is expected"
    (one,) = judged
    assert {line["method"] for line in one["expected"]} == {"random", "bm25"}
    assert one["worth"] in ("yes", "no", "undecided")
    assert "was the plan worth its pilot" in one["sentence"].lower()
    page = (out / "run" / "report.html").read_text()
    assert "The plan, made before the run" in page
    assert "expected and reached" in page
    before = (out / "plan.json").read_bytes()
    again = thresher("demo", "--out", out, "--json")
    assert again.code == 0, again.err
    assert (out / "plan.json").read_bytes() == before, "a plan that is there is kept, whatever the run says"
    assert again.document["panels"], "one document, no table"
