"""A Ray cluster of two machines, both here: a raylet, an object store and a core each."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

STORE = 100 * 1024 * 1024  # bytes of each object store
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_enable_metrics_collection", "0")
os.environ.setdefault("RAY_worker_register_timeout_seconds", "600")  # a busy machine is not a failure
os.environ.setdefault("RAY_agent_register_timeout_ms", "600000")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All of this folder is the tier `ray`, which runs when it is asked for; Ray's own warnings are not ours."""
    here = [item for item in items if Path(__file__).parent in Path(item.path).parents]
    for item in here:
        item.add_marker(pytest.mark.ray)
        item.add_marker(pytest.mark.filterwarnings("ignore"))
    if "ray" not in config.option.markexpr:
        items[:] = [item for item in items if item not in here]
        config.hook.pytest_deselected(items=here)


def patient(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Ask for longer than the half minute that Ray waits for a machine to start."""

    def asked(*arguments: Any) -> Any:
        until = time.monotonic() + 600
        while True:
            try:
                return ask(*arguments)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    return asked


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'thresher[ray]'")
    import ray
    from ray._private import services
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )  # workers find the classes of these tests
    services.get_node = patient(services.get_node)
    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    )
    started.add_node(num_cpus=1, object_store_memory=STORE)
    yield started
    ray.shutdown()
    started.shutdown()
