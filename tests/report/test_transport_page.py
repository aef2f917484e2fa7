"""What the page says of a transport: drawn from the card, scores.parquet and diagnostics/transport.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher.report.section import Picture, Table, Words
from thresher.report.transport import transport

SOURCES = ["sea", "farm", "<b>court</b>"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [
        {"source": name, "rows": 100, "sampled": 50, "cost": 1.0 + i, "marginal_error": 0.001, "sweeps": 7,
         "converged": True, "kept": i == 0, "candidates": 100 if i == 0 else 0}
        for i, name in enumerate(SOURCES)
    ]  # fmt: skip
    account = {"trace": [0.5, 0.1, 0.004], "tolerance": 0.01, "epsilon": 0.05, "mean_cost": 1.7, "distance": 1.2,
               "sweeps": 3, "marginal_error": 0.004, "converged": True}  # fmt: skip
    card = {"domains": {"feature": "embed", "sources": lines}, "accounts": {"got_d": account},
            "selector": {"fields": {"highest": False}}}  # fmt: skip
    (tmp_path / "card.json").write_text(json.dumps(card))
    group = [SOURCES[i % 3] for i in range(90)]
    score = np.array([i % 3 - 1.0 for i in range(90)])
    score[0] = np.nan
    chosen = [i % 3 == 0 and 0 < i < 60 for i in range(90)]
    pq.write_table(pa.table({"group": group, "got_d": score, "chosen": chosen}), tmp_path / "scores.parquet")
    return tmp_path


def texts(sections: list) -> str:
    out = []
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Words):
                out.append(block.text)
            elif isinstance(block, Picture):
                out.append(block.html)
            elif isinstance(block, Table):
                out += [cell for row in block.rows for cell in row]
    return "\n".join(out)


def test_sources_passes_scores_and_mix_are_drawn(folder: Path):
    found = transport(folder)
    assert [section.title for section in found] == [
        "Which sources lie closest to the target", "Optimal transport to the target",
    ]  # fmt: skip
    said = texts(found)
    assert "After 3 passes" in said
    assert "within the tolerance" in said
    pictures = [b.html for s in found for b in s.blocks if isinstance(b, Picture)]
    assert len(pictures) == 4
    assert not any("<b>court" in html for html in pictures), "names are escaped"


def test_what_was_inspected_is_drawn_too(folder: Path):
    (folder / "diagnostics").mkdir()
    said = {
        "trace": [], "tolerance": 0.01, "chosen": 19,
        "epsilon": [{"factor": 1.0, "overlap": 1.0, "spearman": 1.0, "sweeps": 8, "converged": True},
                    {"factor": 0.5, "overlap": 0.75, "spearman": 0.98, "sweeps": 9, "converged": True}],
        "mixture": {"lambda": [0, 0.5, 1], "held_out": 12, "distance": 1.0,
                    "methods": {"got-d": [1, 0.8, 0.9], "random": [1, 0.99, 0.98]}, "saw_both": {"dsir": [1, 1, 1]}},
        "coverage": {"chosen": 0.9, "random": 0.4},
    }  # fmt: skip
    (folder / "diagnostics" / "transport.json").write_text(json.dumps(said))
    last = transport(folder)[-1]
    assert last.title == "Transport, inspected"
    shown = texts([last])
    for words in ("75 %", "90 %", "held-out half", "dsir"):
        assert words in shown
    _, epsilon, coverage = (block.html for block in last.blocks if isinstance(block, Picture))
    assert epsilon.index("0.5 x") < epsilon.index("1 x"), "from small to large"
    assert "correlation of ranks" in epsilon
    assert coverage.index("chosen  90 %") < coverage.index("random  40 %")


def test_other_selections_have_no_such_section(tmp_path: Path):
    (tmp_path / "card.json").write_text(json.dumps({"accounts": {}, "domains": None}))
    assert transport(tmp_path) == []
    assert transport(tmp_path / "nothing") == []
