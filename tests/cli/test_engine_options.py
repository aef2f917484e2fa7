"""Options that say where parts are worked through."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ray-address", "10.0.0.1:6379"], "are of Ray: add --engine ray"),
        (["--ray-gpus", "0"], "are of Ray: add --engine ray"),
        (["--workers", "0"], "0 is not in the range x>=1"),
        (["--store", "s3://bucket/store"], "a store is a folder, and s3://bucket/store is an address"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_before_anything_is_read(
    thresher: Command, tmp_path: Path, arguments: list[str], said: str
):
    answer = thresher(
        "select", "random", tmp_path / "none.jsonl", "--budget", "5%", "--out", tmp_path / "out", *arguments
    )
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "out").exists()


def test_workers_of_a_short_job_are_this_process(thresher: Command, pool_file: Path, tmp_path: Path):
    outs = [tmp_path / name for name in ("default", "one", "four")]
    for out, workers in zip(outs, ([], ["--workers", "1"], ["--workers", "4"]), strict=True):
        done = thresher("select", "longest", pool_file, "--budget", "10 rows", "--out", out, *workers, "--json")
        assert done.document["chosen"]["rows"] == 10
    assert len({(out / "selected.jsonl").read_bytes() for out in outs}) == 1
