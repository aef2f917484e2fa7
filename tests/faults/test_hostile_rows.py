"""Strangers' rows, ids and names: they steer no page, no terminal and no path."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from commands import Command, Happened
from injected import run

from thresher.cli import _lines

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)>"

ANSI = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b2J\u202e"


@pytest.fixture
def spiteful(world: Path) -> Path:
    """Ids, groups and texts that try everything."""
    rows = [
        {"id": f"../../{i}{SCRIPT}{ANSI}", "source": f"{SCRIPT}{ANSI}{i % 2}", "instruction": f"{SCRIPT} {i} {ANSI}",
         "output": f"=cmd|' /C calc'!A{i}{SCRIPT}"}
        for i in range(30)
    ]  # fmt: skip
    (world / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("run.yaml", "recipe.yaml"):  # their names are long
        (world / name).write_text((world / name).read_text().replace("max_tokens: 64", "max_tokens: 512"))
    return world


class Scripts(HTMLParser):
    """What a browser would run, and the tags it would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def steering(text: str) -> list[str]:
    """Characters that a terminal obeys; a bar goes back to the beginning of its line."""
    bars = text.replace("\r", "").replace("\x1b[A", "")
    return [c for c in bars if c not in "\n\t" and (c < " " or "\x7f" <= c <= "\x9f" or c == "\u202e")]


def test_rows_write_no_html_and_no_folder(spiteful: Path, command: Command, happened: Happened):
    place = spiteful / "place"
    before = {path.name for path in spiteful.parent.iterdir()}
    for stage in ("select", "report"):
        ended = run(*command(stage, place), folder=spiteful)
        assert ended.code == 0, ended.err
    page = (place / "out" / "report.html").read_text()
    found = Scripts()
    found.feed(page)
    assert not found.handlers
    assert "alert(1)</script>" not in page
    assert not {"img", "svg/onload"} & set(found.tags)
    assert {path.name for path in spiteful.parent.iterdir()} == before
    happened("HTML in rows, ids and groups", "report", "escaped: no tag and no handler of theirs is in the page")
    happened("path traversal in ids", "select", "ids name no files")


def test_rows_do_not_steer_the_terminal(spiteful: Path, command: Command, happened: Happened):
    said = [run("check", "pool.jsonl", "--store", spiteful / "store", folder=spiteful)]
    said += [run("check", "pool.jsonl", "--json", "--store", spiteful / "store", folder=spiteful)]
    (spiteful / "bad.jsonl").write_text(json.dumps({ANSI: ANSI}) + "\n")
    said += [run("check", "bad.jsonl", "--store", spiteful / "store", folder=spiteful)]
    said += [run("check", "pool.jsonl", "--group", ANSI, "--store", spiteful / "store", folder=spiteful)]
    assert [one.code for one in said] == [0, 0, 2, 2]
    for one in said:
        for text in (one.out, one.err):
            assert not steering(text)
    assert any(ANSI in name for name in json.loads(said[1].out)["groups"]), "as data it is whole"
    happened("ANSI escapes in rows, names and groups", "read", "written out as \\x1b; JSON as \\u001b")


def test_no_command_prints_past_the_cleaning():
    here = Path(_lines.__file__).parent
    for path in here.glob("*.py"):
        if path.name != "_lines.py" and path.name != "_options.py":
            assert "click.echo(" not in path.read_text(), f"{path.name}: say options.echo, which cleans"


NAMED = f"{SCRIPT}{ANSI}/../../x"


@pytest.mark.faults
@pytest.mark.parametrize("stage", ["run", "race"])
def test_names_in_a_run_write_no_html_no_folder_and_no_escape(
    stage: str, spiteful: Path, command: Command, happened: Happened
):
    """Labels, tasks and groups of a run's file, in its page, its folders and on the terminal."""
    told = json.loads(json.dumps(yaml.safe_load((spiteful / "run.yaml").read_text())))
    told["methods"] = [{"method": name, "label": f"{name} {NAMED}"} for name in ("random", "longest")]
    told["tasks"] = [{"task": NAMED, "data": "target.jsonl", "measure": "held_out", "groups": "source"}]
    rows = [json.loads(line) for line in (spiteful / "pool.jsonl").read_text().splitlines()][:6]
    (spiteful / "target.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (spiteful / "run.yaml").write_text(json.dumps(told))
    before = {path for path in spiteful.parent.rglob("*") if spiteful not in path.parents}
    place = spiteful / "place"
    ended = run(*command(stage, place), folder=spiteful)
    assert ended.code == 0, ended.err
    assert not steering(ended.out + ended.err)
    found = Scripts()
    found.feed((place / "out" / "report.html").read_text())
    assert not found.handlers
    assert not {"img", "svg/onload"} & set(found.tags)
    assert "alert(1)</script>" not in (place / "out" / "report.html").read_text()
    assert {path for path in spiteful.parent.rglob("*") if spiteful not in path.parents} == before
    happened("HTML, ANSI escapes and ../ in labels, tasks and groups", stage, "escaped, written out, no folder's name")


@pytest.mark.faults
@pytest.mark.parametrize("stage", ["measure", "select", "train", "evaluate"])
def test_names_do_not_steer_the_terminal_anywhere(stage: str, spiteful: Path, command: Command, happened: Happened):
    for name in ("pool.jsonl", "task.yaml"):
        (spiteful / f"\x1b]0;owned\x07\x1b[31m{name}").write_bytes((spiteful / name).read_bytes())
    line = [
        f"\x1b]0;owned\x07\x1b[31m{argument}" if argument in ("pool.jsonl", "task.yaml") else argument
        for argument in command(stage, spiteful / "place") if argument != "--json"
    ]  # fmt: skip
    good = run(*line, folder=spiteful)
    assert good.code == 0, good.err
    bad = run(*(ANSI if str(argument).startswith("\x1b") else argument for argument in line), folder=spiteful)
    assert bad.clear, (bad.code, bad.err)
    assert not steering(good.out + good.err + bad.out + bad.err)
    happened("ANSI escapes in rows, names and groups", stage, "written out as \\x1b")
