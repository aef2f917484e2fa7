"""Numbers as words."""

import pytest

from thresher.report import tables


@pytest.mark.parametrize(
    ("given", "words"),
    [(1.14827e18, "1.15e18"), (0.0, "0"), (9.999e17, "1.00e18"), (None, "–"), (5e-3, "5.00e-3")],
)
def test_flops_read_as_a_budget_is_written(given, words):
    assert tables.flops(given) == words


def test_decimals_follow_the_standard_error():
    assert tables.score(45.6789, 0.123) == "45.68 ± 0.12"
    assert tables.score(1.23456, 0.00045) == "1.23456 ± 0.00045"
    assert tables.score(45.6789, None) == "45.68"
    assert tables.score(45.6, 12.0) == "46 ± 12"


def test_time_and_size_are_readable():
    assert [tables.seconds(s) for s in (0.1234, 59.9, 184.2, 7383)] == [
        "0.123 s",
        "59.9 s",
        "3 min 04 s",
        "2 h 03 min",
    ]
    assert [tables.size_bytes(b) for b in (12, 912_000_000, 0)] == ["12 B", "912 MB", "–"]


def test_a_verdict_names_the_one_that_dominates():
    arm = {"verdict": "dominated", "by": {"method": "bm25", "fraction": 0.05}}
    assert tables.verdict(arm) == "dominated by bm25 5 %"
    assert tables.verdict(arm | {"verdict": "undecided"}) == "undecided against bm25 5 %"
    assert tables.verdict({"verdict": "on the frontier", "by": None}) == "on the frontier"


def test_nested_facts_are_flat_lines_without_empty_ones():
    assert tables.facts({"a": {"b": 1, "c": None}, "d": [1, 2], "e": ""}) == [("a.b", "1"), ("d", "1, 2")]
