"""When choosing pays: the section, and the rows of break-even."""

from __future__ import annotations

import json
from pathlib import Path

from thresher.report.payoff import break_even_rows, curve_words, payoff
from thresher.report.section import Table, Words

ENTRY = {
    "method": "ppl", "scorer": "s", "fraction": 0.1, "runs": 4.0, "cheap_fraction": 0.3, "size_ratio": 10.0,
    "size_ratio_needed": 6.0, "interval": {"runs": [2.0, None], "size_ratio_needed": [3.0, None], "never": 0.1},
}  # fmt: skip
CROSSING = {"at": 1e17, "score": 40.0, "before": {"method": "bm25", "scorer": ""},
            "after": {"method": "ppl", "scorer": "s"}, "certain": False}  # fmt: skip
LEADS = [{"method": "bm25", "scorer": "", "from": 1e15, "to": 1e17}, {"method": "ppl", "scorer": "s", "from": 1e17,
                                                                    "to": 1e18}]  # fmt: skip
PANEL = {"task": "t", "metric": "accuracy", "model": "m", "break_even": [ENTRY],
         "curves": {"frontier": LEADS, "crossings": [CROSSING], "notes": ["dsir: the score gets worse"]}}  # fmt: skip


def test_never_is_a_word_and_unknown_is_a_dash():
    known, unknown = break_even_rows([ENTRY, {**ENTRY, "runs": None, "size_ratio_needed": None, "interval": None}])
    assert known[3:] == ["4 runs", "2 runs to never", "10", "6", "3 to never"]
    assert unknown[3] == unknown[6] == "never"
    assert unknown[4] == unknown[7]
    assert "to" not in unknown[4]
    certain = break_even_rows([{**ENTRY, "interval": {"runs": [None, None], "size_ratio_needed": [None, None]}}])
    assert certain[0][4] == "never", "said once"


def test_the_section_says_who_leads_from_where_and_what_may_be_chance(tmp_path: Path):
    said = {"panels": [PANEL], "size_ratios": [{"sentence": "ppl pays from 6 on."}]}
    (tmp_path / "frontier.json").write_text(json.dumps(said))
    (section,) = payoff(tmp_path)
    words = " ".join(block.text for block in section.blocks if isinstance(block, Words))
    assert "ppl pays from 6 on." in words
    assert "bm25 from 1e+15" in words
    assert "0 of 1 crossing points are certain" in words
    assert "Dsir: the score gets worse." in words
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert table.rows[0][-1] == "may be chance"


def test_an_older_folder_has_no_such_section(tmp_path: Path):
    (tmp_path / "frontier.json").write_text(json.dumps({"panels": [{"task": "t", "metric": "a", "model": "m"}]}))
    assert payoff(tmp_path) == []
    assert curve_words({"task": "t"}) == ""
