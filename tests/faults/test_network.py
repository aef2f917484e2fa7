"""A network name that takes the call and says nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command, Happened, long
from injected import run

from thresher.core import answering


@pytest.fixture
def silent() -> Iterator[str]:
    """A hub that takes the call and says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def take() -> None:
        while True:
            try:
                taken.append(server.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    for one in taken:
        one.close()


def unanswered(address: str) -> None:
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = False
    constants.ENDPOINT = address
    answering.SECONDS = 1


SAID = "one clear sentence after 10 s, exit 2"


@pytest.mark.parametrize("stage", long(["measure", "select", "train", "evaluate", "run", "race"]))
def test_a_model_on_a_hub_that_does_not_answer(
    stage: str, silent: str, world: Path, model: str, command: Command, happened: Happened
):
    recipe = world / "run.yaml"
    recipe.write_text(recipe.read_text().replace(model, "nobody/nothing"))
    line = ("nobody/nothing" if argument == model else argument for argument in command(stage, world / "place"))
    ended = run(*line, folder=world, fault=lambda: unanswered(silent))
    assert ended.clear, (ended.code, ended.err)
    assert "does not answer" in ended.err
    happened("a hub that does not answer, for a model", stage, SAID)


@pytest.mark.parametrize("stage", long(["read", "select", "train", "run"], "read", "train"))
def test_a_pool_on_a_hub_that_does_not_answer(
    stage: str, silent: str, world: Path, command: Command, happened: Happened
):
    named = "hub:nobody/nothing:train"
    recipe = world / "run.yaml"
    recipe.write_text(recipe.read_text().replace("pool: pool.jsonl", f"pool: {named}"))
    line = (named if argument == "pool.jsonl" else argument for argument in command(stage, world / "place"))
    ended = run(*line, folder=world, fault=lambda: unanswered(silent))
    assert ended.clear, (ended.code, ended.err)
    assert "does not answer" in ended.err
    happened("a hub that does not answer, for a pool", stage, SAID)
