"""The Trainer's trackers: which there are, and where their files go."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thresher.core.suggest import unknown
from thresher.errors import RecipeError
from thresher.training.trainer import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations


def trackers(report_to: str) -> list[str]:
    """The trackers that a recipe names, `none` or several with commas between.

    Raises:
        RecipeError: one that the Trainer does not know, or that is not installed.
    """
    named = [name.strip() for name in report_to.split(",") if name.strip() not in ("", "none")]
    for name in named:
        if name not in INTEGRATION_TO_CALLBACK:
            raise RecipeError("report_to: " + unknown("tracker", name, ["none", *INTEGRATION_TO_CALLBACK]))
        if name not in get_available_reporting_integrations():
            raise RecipeError(
                f"report_to: {name} is not installed. Try pip install 'thresher[track]', or the tracker's own package."
            )
    return named


@contextmanager
def beside(out: Path) -> Iterator[None]:
    """Files of trackers go to `out`.logs, for `out` itself is put there whole; what the user's environment says wins.

    wandb sends over the network unless told not to: WANDB_MODE=offline. mlflow writes into files there, which it keeps
    for old times' sake and has to be told; it sends where MLFLOW_TRACKING_URI names a server.
    """
    logs = out.with_name(out.name + ".logs").absolute()
    ours = {
        "TENSORBOARD_LOGGING_DIR": str(logs / "tensorboard"), "WANDB_DIR": str(logs),
        "MLFLOW_TRACKING_URI": (logs / "mlruns").as_uri(),
    }  # fmt: skip
    if "MLFLOW_TRACKING_URI" not in os.environ:
        ours["MLFLOW_ALLOW_FILE_STORE"] = "true"
    ours = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(ours)
    before = _wandb_run()
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        if before is None and _wandb_run() is not None:
            wandb = sys.modules["wandb"]
            wandb.finish()  # the Trainer does not: the next training would go on writing into this run,
            wandb.teardown()  # and into this folder, which is read from the environment once


def _wandb_run() -> object:
    """The run that wandb writes into, if it was imported at all."""
    return getattr(sys.modules.get("wandb"), "run", None)
