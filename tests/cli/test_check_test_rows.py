"""`thresher check POOL --test FILE`."""

from __future__ import annotations

from pathlib import Path

from command_line import Command, write_jsonl

LONG = "how many of the {} grey stones lie under the bridge by the mill when the water is low in the dry summer months"


def test_test_rows_in_the_pool_are_a_finding(thresher: Command, tmp_path: Path):
    rows = [{"prompt": f"what is {i}", "response": "x"} for i in range(4)]
    pool = write_jsonl(tmp_path / "pool.jsonl", [*rows, {"prompt": LONG.format("ten"), "response": "x"}])
    tests = write_jsonl(tmp_path / "test.jsonl", [{"prompt": LONG.format("ten"), "response": "y"}])
    clean = write_jsonl(tmp_path / "clean.jsonl", [{"prompt": LONG.format("two").replace("the", "a"), "response": "y"}])
    said = thresher("check", pool, "--test", tests, "--test", clean, "--strict", "--json")
    assert said.code == 1
    first, second = said.document["contamination"]
    assert (first["exact"], first["near"], second["exact"], second["near"]) == (1, 0, 0, 0)
    assert any(problem.startswith("test.jsonl: of 1 test rows 1 stand") for problem in said.document["problems"])
    shown = thresher("check", pool, "--test", tests)
    assert "test rows of test.jsonl: 1, of them 1 exact, 0 near" in shown.out
