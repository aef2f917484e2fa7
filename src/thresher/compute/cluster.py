"""A Ray cluster: reaching it, what it holds, what a process on it starts with, and what its losses are called."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from typing import Any

from thresher.compute import meter
from thresher.compute.process import settle
from thresher.errors import ThresherError

STORE_BYTES = 200_000_000  # of a cluster started here: parts go by path, results straight to the store
PASSED_ON = ("HF_HUB_OFFLINE", "OMP_WAIT_POLICY", "TOKENIZERS_PARALLELISM")


def connect(address: str | None = None) -> Any:
    """The `ray` module, connected.

    Raises:
        ThresherError: Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    try:
        import ray
    except ImportError as error:
        raise ThresherError("the Ray engine needs the package ray: pip install 'thresher[ray]'.") from error
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"object_store_memory": STORE_BYTES, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **own)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise ThresherError(
            f"no Ray cluster can be reached at {address}: {error}. Start one with `ray start --head`, or leave "
            "--ray-address out to start Ray here."
        ) from error
    return ray


def capacity(ray: Any, cpus: int, gpus: float) -> int:
    """Workers of this size that the machines hold when nothing else runs.

    Raises:
        ThresherError: not one.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = [
        min(held.get("CPU", 0.0) // cpus, held.get("GPU", 0.0) // gpus if gpus else float("inf")) for held in machines
    ]
    if not sum(fits):
        shown = "; ".join(f"{held.get('CPU', 0):g} CPU, {held.get('GPU', 0):g} GPU" for held in machines)
        raise ThresherError(f"no machine of the cluster holds a worker of {cpus} CPU and {gpus:g} GPU: {shown}.")
    return int(sum(fits))


@dataclass(frozen=True)
class Place:
    """What a process elsewhere starts with."""

    threads: int
    gpus: float
    folder: str  # relative paths start from here, where that machine has it
    environment: dict[str, str]

    @classmethod
    def here(cls, threads: int, gpus: float) -> Place:
        """As in this process."""
        return cls(threads, gpus, os.getcwd(), {name: os.environ[name] for name in PASSED_ON if name in os.environ})

    def take(self) -> None:
        """In that process, before it loads torch."""
        os.environ.update(self.environment)
        settle(self.threads)
        meter.has_share(min(1.0, self.gpus or self.threads / (os.cpu_count() or 1)))
        with contextlib.suppress(OSError):
            os.chdir(self.folder)


def losses(ray: Any) -> tuple[type[Exception], ...]:
    """What Ray raises where a process or machine is gone, rather than the work at fault."""
    kinds = ray.exceptions
    return (kinds.RayActorError, kinds.WorkerCrashedError, kinds.NodeDiedError, kinds.OutOfMemoryError)


def taken(ray: Any, answer: Any) -> Any:
    """A result; an exception of the work's own comes as it was raised there."""
    try:
        return ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception):
            raise cause from error
        raise


def why(error: Exception) -> str:
    """What Ray says, by its first line and its last."""
    said = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return said[0] if len(said) == 1 else f"{said[0]} {said[-1]}"
