"""Rules by hand: what two answers have in common, and where an answer stands."""

from __future__ import annotations

import pytest

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import packaged
from thresher.evaluation.answers import comparable, extracted
from thresher.evaluation.task import Task


@pytest.mark.parametrize(
    ("rules", "a", "b", "same"),
    [
        (("text",), " The  Cat", "the cat", True),
        (("none",), "The cat", "the cat", False),
        (("case", "punctuation", "articles", "spaces"), "The cat, sat!", "cat  sat", True),
        (("case", "punctuation", "articles", "spaces"), "a theatre", "theatre", True),
        (("spaces",), "True", "true", False),
        (("number",), "$1,200.00", "1200", True),
        (("number",), "no number", "", True),
        (("letter",), "(B)", "b", True),
    ],
)
def test_rules_in_turn(rules: tuple[str, ...], a: str, b: str, same: bool):
    assert (comparable(a, rules) == comparable(b, rules)) == same


def test_the_first_pattern_that_is_found_counts_and_which_match_of_it_can_be_said():
    strict, any_number = r"#### (\d+)", r"(\d+)"
    assert extracted("1 and 2 #### 3 then 4", (strict, any_number), "last") == "3"
    assert extracted("1 and 2", (strict, any_number), "last") == "2"
    assert extracted("1 and 2", (strict, any_number), "first") == "1"
    assert extracted("none", (strict, any_number), "last") == ""


GSM8K = [
    ("She has 3 + 4 = 7 left.\n#### 7", "7"),
    ("#### 1,234", "1234"),
    ("The answer is $1,234.50.", "1234.5"),
    ("It is -3.", "-3"),
    ("I do not know", ""),
]


@pytest.mark.parametrize(("written", "answer"), GSM8K)
def test_the_packaged_gsm8k_finds_answers(written: str, answer: str):
    task = Task.find("gsm8k")
    assert task.comparable(task.extracted(written)) == answer


@pytest.mark.parametrize(
    ("written", "answer"),
    [("so #### (C)", "C"), ("The answer is (B).", "B"), ("Answer: D", "D"), ("It must be (E)", "E"), ("A car", "")],
)
def test_the_packaged_aqua_finds_letters(written: str, answer: str):
    task = Task.find("aqua")
    assert task.comparable(task.extracted(written)) == answer


def test_every_packaged_task_reads_and_says_its_command():
    assert packaged.names() == [
        "aqua", "bbh", "gsm8k", "humaneval", "ifeval", "mbpp", "mmlu", "mts_dialog", "svamp",
    ]  # fmt: skip
    for name in packaged.names():
        task = Task.find(name)
        assert task.task == name
        assert f"--task {name}" in (packaged.HOME / f"{name}.yaml").read_text()


def test_rows_of_some_groups(tiny_pool: Pool):
    rows = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]] * 6
    pool = Pool.from_messages(rows, origin=[{"kind": "xyz"[i % 3]} for i in range(6)])
    task = Task(task="t", data="x", measure="held_out", groups="kind", only="y")
    assert task.rows(pool).ids() == ["row-1", "row-4"]
    with pytest.raises(TaskError, match="no group called 'w'"):
        Task(task="t", data="x", measure="held_out", groups="kind", only=("w",)).rows(pool)
    with pytest.raises(TaskError, match="no column 'colour'"):
        Task(task="t", data="x", measure="held_out", groups="colour", only="y").rows(pool)
