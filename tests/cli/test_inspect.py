"""`thresher inspect` on the command line."""

from __future__ import annotations

from pathlib import Path

from command_line import Command


def test_files_are_listed_and_the_report_draws_them(thresher: Command, pool_file: Path, tmp_path: Path):
    out = tmp_path / "s2l"
    fields = ("clusters=4", "recording.points=2", "recording.epochs=1.0", "recording.batch_size=8")
    chosen = thresher(
        "select", "s2l", pool_file, "--budget", "8 rows", "--scorer", "scratch:20k", "--out", out,
        *(word for field in fields for word in ("--set", field)),
    )  # fmt: skip
    assert chosen.code == 0, chosen.err
    said = thresher("inspect", out, "--steps", 0, "--json")
    assert said.code == 0, said.err
    assert said.document["files"] == ["clusters.json", "curves.json", "length.json"]
    assert "4 clusters of 30 rows" in said.err
    page = thresher("report", out, "--json").document["report"]
    assert "Where the budget went" in Path(page).read_text()


def test_a_folder_that_is_no_selection_is_the_users_mistake(thresher: Command, tmp_path: Path):
    said = thresher("inspect", tmp_path)
    assert said.code == 2
    assert "not a selection's folder" in said.err
    assert said.out == ""
