"""events.jsonl, --json-logs and trackers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from commands import Command, Happened
from injected import run
from planted import counted, killed_at
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from thresher.core import events
from thresher.errors import RecipeError
from thresher.training import tracking
from thresher.training.recipe import Recipe


def test_events_are_lines_in_order(tmp_path: Path):
    with events.kept_in(tmp_path, "run"):
        events.emit("part written", part=3, text="two\nlines \x1b \ud800")
    with pytest.raises(ValueError, match="no"), events.kept_in(tmp_path, "run"):
        raise ValueError("no")
    events.emit("outside")
    lines = (tmp_path / events.FILE).read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["event"] for line in lines] == [
        "run started", "part written", "run ended", "run started", "run stopped",
    ]  # fmt: skip
    assert json.loads(lines[-1])["message"] == "no"


def test_a_torn_line_is_ended_and_nothing_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / events.FILE))
    events.emit("one")
    with (tmp_path / events.FILE).open("ab") as file:
        file.write(b'{"event": "tor')
    events.emit("two")
    assert [line["event"] for line in events.read(tmp_path / events.FILE)] == ["one", "two"]


@pytest.mark.faults
def test_a_run_that_is_killed_leaves_its_events(world: Path, command: Command, happened: Happened):
    place = world / "place"
    ended = run(*command("run", world / "whole"), folder=world, fault=counted(world / "writes", world / "whole"))
    assert ended.code == 0, ended.err
    whole = [line["event"] for line in events.read(world / "whole" / "out" / events.FILE)]
    assert whole[0] == "run started"
    assert whole[-1] == "run ended"
    assert {"chosen", "job started", "job ended"} <= set(whole)
    writes = json.loads((world / "writes").read_text())["writes"]
    run(*command("run", place), folder=world, fault=killed_at(2 * writes // 3, place))
    before = (place / "out" / events.FILE).read_bytes()
    again = run(*command("run", place), folder=world)
    assert again.code == 0, again.err
    after = (place / "out" / events.FILE).read_bytes()
    assert after.startswith(before), "append only"
    said = [json.loads(line)["event"] for line in after.splitlines()]
    assert said.count("run started") == 2
    assert said.count("run ended") == 1
    assert said.count("job ended") in (1, 2)  # a kill may come between a result and its event
    happened("kill -9, and the log", "run", "events.jsonl is whole up to the kill and goes on below")


def test_logs_as_json(world: Path, command: Command):
    good = run("--json-logs", *command("measure", world / "place"), folder=world)
    bad = run("--json-logs", "select", "randon", "pool.jsonl", "--budget", "5 rows", "--out", "x", folder=world)
    usage = run("--json-logs", "select", "--nothing", folder=world)
    assert [good.code, bad.code, usage.code] == [0, 2, 2]
    for ended in (good, bad, usage):
        lines = [json.loads(line) for line in ended.err.splitlines()]
        assert lines
        assert all({"time", "level", "message"} <= set(line) for line in lines)
    assert lines[-1]["level"] == "ERROR"
    written = [line["event"] for line in map(json.loads, good.err.splitlines()) if "event" in line]
    assert [one["event"] for one in written].count("part written") == 5
    assert json.loads(good.out)["rows"] == 48


class Told(TrainerCallback):
    """A tracker that writes down where it was told to write, and what it was told."""

    def on_train_end(self, args, state, control, **kwargs):  # noqa: ANN001, ANN003
        folder = Path(os.environ["TENSORBOARD_LOGGING_DIR"])
        folder.mkdir(parents=True)
        (folder / "told").write_text(json.dumps(state.log_history))


def test_trackers_pass_through_and_their_files_stay(world: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "told", Told)
    monkeypatch.setattr(tracking, "get_available_reporting_integrations", lambda: ["told"])
    ended = run(*command("train", world / "place"), "--report-to", "told", folder=world)
    assert ended.code == 0, ended.err
    told = json.loads((world / "place" / "out.logs" / "tensorboard" / "told").read_text())
    assert "train_runtime" in told[-1]
    assert (world / "place" / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "said"), [("tensorbord", "Did you mean 'tensorboard'"), ("comet_ml", "not installed")]
)
def test_a_tracker_that_is_not_there(name: str, said: str):
    with pytest.raises(RecipeError, match=said):
        tracking.trackers(name)
    assert tracking.trackers("none") == []
    assert Recipe().report_to == "none"
