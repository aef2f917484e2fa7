"""`thresher evaluate` on packaged tasks and tasks of one's own: both forms of the prompt, JSON, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from thresher.cli.evaluate import command
from thresher.errors import ThresherError


def run(*arguments: str) -> list[dict]:
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"prompt": f"What is {i} and 1?", "response": f"#### {i + 1}", "answer": str(i + 1), "type": "ab"[i % 2]}
            for i in range(6)]  # fmt: skip
    for split in ("test", "val"):
        shown = rows if split == "test" else [{**row, "prompt": row["prompt"] + " Say."} for row in rows]
        (tmp_path / f"svamp.{split}.jsonl.gz").write_bytes(
            __import__("gzip").compress("".join(json.dumps(row) + "\n" for row in shown).encode())
        )
    return tmp_path


def test_a_packaged_task_in_both_forms(tiny_model: str, folder: Path):
    common = (tiny_model, "--task", "svamp", "--data", str(folder), "--store", str(folder / "store"))
    found = run(*common, "--format", "both", "--limit", "4", "--set", "max_new_tokens=3")
    assert [(one["task"], one["metric"], one["format"], one["n"]) for one in found] == [
        ("svamp", "exact_match", "chat", 4), ("svamp", "exact_match", "plain", 4),
    ]  # fmt: skip
    assert set(found[0]) >= {"task", "metric", "score", "score_se", "n", "groups", "flops"}
    measured = ("--set", "measure=held_out", "--set", 'metrics=["loss", "perplexity"]', "--shots", "1")
    loss, perplexity = run(*common, *measured)
    assert (loss["metric"], perplexity["metric"]) == ("loss", "perplexity")
    assert perplexity["score"] > 1
    assert set(loss["groups"]) == {"a", "b"}
    assert "groups" not in perplexity


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to score on"),
        (("--task", "gsm9k"), "Did you mean 'gsm8k'"),
        (("--task", "nothing.yaml"), "there is no task file nothing.yaml"),
        (("--task", "gsm8k"), "comes without its rows: give --data FOLDER"),
        (("--task", "svamp", "--set", "metrics=rouge1"), "no metric of exact_match called 'rouge1'"),
    ],
)
def test_what_cannot_be_scored(tiny_model: str, tmp_path: Path, arguments: tuple[str, ...], said: str):
    done = CliRunner().invoke(command, [tiny_model, *arguments, "--store", str(tmp_path)])
    assert isinstance(done.exception, ThresherError)
    assert said in str(done.exception)
