"""A Ray cluster of two machines, both here: a raylet, an object store and a core each."""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SECRET = "not-to-be-seen-anywhere"
STORE = 100 * 1024 * 1024  # bytes of each object store
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # 15 otherwise: starved where anything else runs
os.environ.setdefault("RAY_enable_metrics_collection", "0")
os.environ.setdefault("RAY_worker_register_timeout_seconds", "600")  # a busy machine is not a failure
os.environ.setdefault("RAY_agent_register_timeout_ms", "600000")
with socket.create_server(("127.0.0.1", 0)) as free:
    S3 = f"http://127.0.0.1:{free.getsockname()[1]}"


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
    os.environ.update(  # as `ray start` has them on a machine of its own; a worker is told none
        AWS_ENDPOINT_URL=S3, AWS_ACCESS_KEY_ID="somebody", AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION="us-east-1"
    )
    services.get_node = patient(services.get_node)
    started = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    )
    started.add_node(num_cpus=1, object_store_memory=STORE)
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture(scope="session")
def bucket(cluster: Any) -> Iterator[str]:
    """An address in a bucket of a server here that speaks S3."""
    moto = pytest.importorskip("moto.server", reason="pip install s3fs 'moto[s3]' flask flask-cors")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=int(S3.rpartition(":")[2]), verbose=False)
    server.start()
    boto3.client("s3").create_bucket(Bucket="parts")
    yield "s3://parts/prefix"
    server.stop()
