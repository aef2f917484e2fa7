"""The Trainer's trackers with their own packages, offline: what they were told is in their files (`make track`)."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from commands import Command
from injected import run

pytestmark = pytest.mark.track
NAMES = "tensorboard,wandb,mlflow"


def offline() -> None:
    """wandb's own switch; a call to anywhere but this machine is a fault."""
    os.environ["WANDB_MODE"] = "offline"
    plain = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        here = not isinstance(address, tuple) or str(address[0]) in ("127.0.0.1", "::1", "localhost")
        assert here, f"a call to {address}"
        return plain(self, address)

    socket.socket.connect = connect


def told(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tracker's files say the loss of the training, and nobody else's."""
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(logs / "tensorboard")).Reload()
    assert events.Scalars("train/train_loss")[0].value > 0
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(tracking_uri=(logs / "mlruns").as_uri())
    (one,) = client.search_runs([found.experiment_id for found in client.search_experiments()])
    assert one.info.status == "FINISHED"
    assert one.data.metrics["train_loss"] == pytest.approx(events.Scalars("train/train_loss")[0].value)
    (file,) = logs.glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()
    assert b"train_loss" in content
    assert b"learning_rate" in content


def test_a_training_tells_its_trackers(world: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    line = command("train", world / "place")
    ended = run(*line, "--report-to", NAMES, "--json", folder=world, fault=offline)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["flops"] > 0, "nothing but the result is on stdout"
    told(world / "place" / "out.logs", monkeypatch)
    assert not [path for path in world.iterdir() if path.name in ("mlruns", "mlflow.db", "wandb", "runs")]


def test_every_training_of_a_run_has_its_own(world: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    recipe = (world / "run.yaml").read_text()
    (world / "run.yaml").write_text(recipe.replace("steps: 2", f"report_to: '{NAMES}', steps: 2"))
    ended = run(*command("run", world / "place"), folder=world, fault=offline)
    assert ended.code == 0, ended.err
    found = sorted((world / "place" / "out" / "trained").glob("*/model.logs"))
    assert len(found) == 2
    for logs in found:
        told(logs, monkeypatch)
