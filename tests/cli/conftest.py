"""The command line, called in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import Command, Said, alpaca, write_jsonl


@pytest.fixture
def thresher(capsys: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """thresher("select", "random", ...) -> exit code, stdout, stderr."""
    monkeypatch.setenv("THRESHER_STORE", str(cache))

    def run(*arguments: object) -> Said:
        from thresher.cli import main

        capsys.readouterr()
        code: Any = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def pool_file(tmp_path: Path) -> Path:
    """Thirty good rows."""
    return write_jsonl(tmp_path / "pool.jsonl", alpaca(30))


@pytest.fixture
def target_file(tmp_path: Path) -> Path:
    """Five rows that the pool does not hold."""
    return write_jsonl(tmp_path / "target.jsonl", alpaca(5, start=1000))
