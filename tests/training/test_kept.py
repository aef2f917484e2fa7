"""Checkpoints that a killed training left: the last whole one is gone on from, a half-written one is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thresher.core import checksum
from thresher.training.kept import LAST, SUMS, latest


def checkpoint(folder: Path, step: int, state: str, *, summed: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / LAST).write_text(state)
    if summed:
        (path / SUMS).write_text(json.dumps(checksum.signed({LAST: checksum.of_file(path / LAST)})))
    return path


@pytest.mark.parametrize("state", ["", '{"global_step": 4', "\x00"], ids=["empty", "cut short", "zeros"])
def test_a_kill_while_the_last_file_was_written_falls_back_to_an_earlier_checkpoint(
    state: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    whole = checkpoint(tmp_path, 2, '{"global_step": 2}')
    half = checkpoint(tmp_path, 4, state, summed=False)
    assert latest(tmp_path) == str(whole)
    assert f"{half} is damaged" in caplog.text
    assert not half.exists()


def test_a_kill_before_the_checksums_loses_nothing(tmp_path: Path):
    checkpoint(tmp_path, 2, '{"global_step": 2}')
    last = checkpoint(tmp_path, 4, '{"global_step": 4}', summed=False)
    assert latest(tmp_path) == str(last)


def test_without_a_checkpoint_there_is_none(tmp_path: Path):
    assert latest(tmp_path) is None
