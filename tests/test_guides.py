"""What the guides in docs/ show is what comes out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from thresher.cli import main

GUIDES = [Path(__file__).parents[1] / "docs" / "cats_and_dogs.md"]  # those whose every block runs in seconds
BLOCK = re.compile(r"^```(python|text|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_a_guide_runs_and_prints_what_it_says(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THRESHER_STORE", str(tmp_path / "store"))
    names: dict[str, object] = {}
    blocks = BLOCK.findall(guide.read_text(encoding="utf-8"))
    assert blocks, "a guide shows something"
    for kind, content in blocks:
        if kind == "python":
            exec(compile(content, str(guide), "exec"), names)  # noqa: S102
        elif kind == "text":
            assert capsys.readouterr().out == content
        else:
            for line in content.splitlines():
                main(shlex.split(line)[1:])
            capsys.readouterr()
