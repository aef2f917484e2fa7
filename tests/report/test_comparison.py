"""A selection beside others: overlap by hand, and the target rows that stand closest."""

from __future__ import annotations

import json

import pytest

from thresher.choosing import choose, write
from thresher.core.store import Store
from thresher.errors import StoreError
from thresher.report import comparison, page
from thresher.setting import Setting, Sources

THINGS = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("house", "boat")]
FACTS = [f"the {thing} is {size}" for thing in THINGS for size in "abc"]


@pytest.fixture
def selections(tmp_path):
    """Two selections of four rows from twelve, and a target of two."""
    pool, target = tmp_path / "pool.jsonl", tmp_path / "target.jsonl"
    pool.write_text("\n".join(json.dumps({"prompt": f"say {i}", "response": text}) for i, text in enumerate(FACTS)))
    target.write_text("\n".join(json.dumps({"prompt": "say", "response": f"the {c} boat"}) for c in ("red", "blue")))
    setting = Setting.open(Sources(pool=str(pool), target=(str(target),)), store=Store(tmp_path / "store"))
    for name in ("bm25", "random"):
        write(choose(setting, name, "4 rows", seed=3), tmp_path / name)
    return tmp_path


def test_overlap_is_shared_over_either(selections):
    rows = {name: _rows(selections / name) for name in ("bm25", "random")}
    shared = len(rows["bm25"] & rows["random"])
    (line,) = comparison.overlap(selections / "bm25", [selections / "random"])
    assert line == ["random", "random", "4", str(shared), f"{shared / (8 - shared):.3f}"]
    (own,) = comparison.overlap(selections / "bm25", [selections / "bm25"])
    assert own[-1] == "1.000"


def test_closest_target_rows_are_those_with_most_words_in_common(selections):
    lines = comparison.nearest(selections / "bm25")
    first = [line for line in lines if line[0] == "first chosen"]
    assert len(first) == 4
    for _, _, text, _, goal, _ in first:
        assert "boat" in text, "rows about boats share most words with a target about boats"
        assert ("red" in text) == ("red" in goal)
    assert comparison.nearest(selections / "random") == [], "random looks at no target"


def test_another_pool_is_refused(selections, tmp_path):
    card = json.loads((selections / "random" / "card.json").read_text())
    card["pool"]["fingerprint"] = "0" * 64
    (selections / "random" / "card.json").write_text(json.dumps(card))
    with pytest.raises(StoreError, match="another pool"):
        comparison.overlap(selections / "bm25", [selections / "random"])


def test_the_page_shows_both(selections):
    text = page.write(selections / "bm25", beside=[selections / "random"]).read_text()
    assert "Beside other selections" in text
    assert "Closest target rows" in text


def _rows(folder):
    return set((folder / "selected.jsonl").read_text().splitlines())
