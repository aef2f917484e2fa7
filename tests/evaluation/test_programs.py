"""Programs are put together as HumanEval and MBPP mean them; pass@k by the published estimator."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from thresher.data.read import load_pool
from thresher.errors import TaskError
from thresher.evaluation import sandbox
from thresher.evaluation.measures import evaluate
from thresher.evaluation.programs import code_in, judged_by, pass_at, whole
from thresher.evaluation.task import Task

HUMAN = {
    "prompt": 'from typing import List\n\n\ndef double(xs: List[int]) -> List[int]:\n    """Twice."""\n',
    "tests": "def check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n",
    "entry_point": "double",
}
MBPP = {"tests": ["assert twice(2) == 4", "assert twice(Z) == 0"], "setup": "Z = 0"}


def passes(program: str) -> bool:
    try:
        exec(compile(program, "program", "exec"), {"__name__": "__main__"})  # noqa: S102 - written in this file
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("    return [2 * x for x in xs]\n", True),  # goes on from the prompt
        ("    return xs\n", False),
        ("```python\ndef double(xs: List[int]) -> List[int]:\n    return [x + x for x in xs]\n```", True),
        ("Sure:\n```\ndef double(xs):\n    return xs\n```\nThat is it.", False),
    ],
)
def test_a_function_is_completed_or_defined_anew(written: str, right: bool):
    assert passes(whole(written, HUMAN["prompt"], judged_by(HUMAN, "0"))) is right


def test_a_prompt_in_words_is_no_part_of_the_program():
    program = whole("def double(xs):\n    return [2 * x for x in xs]", "Write a function.", judged_by(HUMAN, "0"))
    assert passes(program)
    assert "Write" not in program


def test_mbpp_sets_up_before_and_tests_after():
    row = judged_by(MBPP, "0")
    assert passes(whole("def twice(x):\n    return 2 * x", "Write twice.", row))
    assert not passes(whole("def twice(x):\n    return x * x + 1", "Write twice.", row))


def test_code_is_the_first_block_or_everything():
    assert code_in("a\n```py\nx = 1\n```\n```\ny = 2\n```") == "x = 1\n"
    assert code_in("```python\nx = 1") == "x = 1"
    assert code_in("x = 1") == "x = 1"


def test_rows_without_tests_are_named():
    with pytest.raises(TaskError, match="row r7 has no column `tests`"):
        judged_by({"prompt": "x"}, "r7")


def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_one():
    n, right, k = 6, 2, 3
    draws = list(itertools.combinations(range(n), k))
    assert pass_at(k, [n], [right]) == pytest.approx(sum(any(i < right for i in draw) for draw in draws) / len(draws))
    assert pass_at(1, [4, 4], [1, 3]) == pytest.approx(0.5)
    assert pass_at(2, [3], [3]) == 1.0
    with pytest.raises(TaskError, match="pass@3 needs"):
        pass_at(3, [2], [1])


def test_it_takes_leave_and_a_task_file_does_not_give_it(tmp_path: Path, tiny_model: str):
    rows = [{"prompt": "Write twice(x).", "response": "def twice(x): return 2 * x", **MBPP}]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Task(task="t", data=str(data), measure="programs", max_new_tokens=4)
    pool = load_pool(str(data), cache=tmp_path)
    with pytest.raises(TaskError, match="--run-programs"):
        evaluate(tiny_model, task, pool)
    (tmp_path / "task.yaml").write_text(f"task: t\ndata: {data}\nmeasure: programs\nrun_programs: true\n")
    with pytest.raises(TaskError, match="no file gives leave"):
        Task.read(tmp_path / "task.yaml")
    try:
        sandbox.run("pass")
    except TaskError as error:
        pytest.skip(str(error))
    outcome, _ = evaluate(tiny_model, replace(task, run_programs=True), pool)
    assert (outcome.metric, outcome.score, outcome.n) == ("pass@1", 0.0, 1)
    assert any("in a sandbox with its own" in note for note in outcome.notes)
