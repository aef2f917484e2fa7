"""Mapping here."""

import pytest

from thresher.compute.local import Local, progress_bar
from thresher.core.pool import Pool


@pytest.fixture
def rows():
    ask = {"role": "user", "content": "q"}
    return Pool.from_messages([[ask, {"role": "assistant", "content": str(i)}] for i in range(5)])


def test_every_part_is_seen_once_and_in_order(rows):
    seen, told = [], []
    local = Local(progress=lambda i, part: told.append((i, len(part))))
    local.map(lambda i, part: seen.append((i, part.answer())), rows.parts(2))
    assert seen == [(0, ["0", "1"]), (1, ["2", "3"]), (2, ["4"])]
    assert told == [(0, 2), (1, 2), (2, 1)]


def test_the_first_failure_ends_it_and_reaches_the_caller(rows):
    seen = []

    def fail_at_one(i, part):
        seen.append(i)
        if i == 1:
            raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        Local().map(fail_at_one, rows.parts(2))
    assert seen == [0, 1]


def test_the_bar_leaves_stdout_alone(rows, capsys):
    with progress_bar(len(rows), "loss") as advance:
        Local(progress=advance).map(lambda i, part: None, rows.parts(2))
    assert capsys.readouterr().out == ""
