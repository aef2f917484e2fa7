"""The page's planning sections: what stands there follows from the run's own files."""

from __future__ import annotations

import json

from thresher.planning import frontier, results
from thresher.planning.finish import finish
from thresher.planning.frozen import grid, replay
from thresher.report import page
from thresher.report.race import race
from thresher.report.section import Table, Words
from thresher.report.spending import spending


def titles(sections):
    return [section.title for section in sections]


def test_every_section_of_a_sweep_is_there_and_says_what_the_table_says(tmp_path, run_folder):
    folder = run_folder(tmp_path / "math")
    sections = spending(folder)
    assert titles(sections) == [
        "At equal rows, and at equal compute", "Share of compute spent on choosing", "One choosing, many uses",
        "Regret of always taking one method",
    ]  # fmt: skip
    share = next(block for block in sections[1].blocks if isinstance(block, Words) and "Nothing on" in block.text)
    assert "bm25" in share.text
    assert "ppl-mid" not in share.text
    tables = [block for block in sections[3].blocks if isinstance(block, Table)]
    assert len(tables) == 2, "one a task"
    assert tables[0].rows[0][0] == "bm25", "the planted winner has the least regret"
    text = page.write(folder).read_text()
    assert text.count("Was it worth it? ") == 1
    assert "What a race would have saved" in text


def test_a_race_folder_shows_its_rounds_and_its_bill(tmp_path, run_folder):
    folder = run_folder(tmp_path / "math")
    panel = results.read(folder).panels()[0]
    found = grid(panel)
    assert found is not None
    told = {"by": ["svamp:exact_match"], "asked": "1e17 flops", **finish(replay(found, found.price))}
    (folder / "race.json").write_text(json.dumps(told))
    (section,) = race(folder)
    assert section.title == "The race"
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert len(table.rows) == sum(len(one["ran"]) for one in told["rounds"])
    stopped = [row for row in table.rows if row[-1].startswith("stopped")]
    assert any(row[2].startswith("longest") for row in stopped)
    assert told["sentence"].split(",")[0] in page.write(folder).read_text()


def test_names_from_the_data_are_escaped(tmp_path, run_folder):
    folder = run_folder(tmp_path / "evil", evil="<script>alert(1)</script>")
    assert "<script>alert(1)" not in page.write(folder).read_text()


def test_an_older_folder_without_these_keys_still_has_its_page(tmp_path, run_folder):
    folder = run_folder(tmp_path / "old")
    said = json.loads((folder / "frontier.json").read_text())
    del said["verdict"]
    for panel in said["panels"]:
        for key in ("equal", "regret", "race"):
            del panel[key]
    (folder / "frontier.json").write_text(json.dumps(said))
    assert race(folder) == []
    assert "At equal rows, and at equal compute" not in titles(spending(folder))
    assert "Every method and budget" in page.write(folder).read_text()


def test_a_table_of_one_method_has_no_ranks_and_no_race(tmp_path):
    line = {"method": "random", "model": "m", "task": "t", "metric": "loss", "score": 1.0, "selection_flops": 0.0,
            "training_flops": 1e12, "fraction": 0.1}  # fmt: skip
    results.write([line], tmp_path)
    (tmp_path / "frontier.json").write_text(json.dumps(frontier.frontier(results.read(tmp_path))))
    assert spending(tmp_path) == []
    assert race(tmp_path) == []
    assert page.write(tmp_path).exists()
