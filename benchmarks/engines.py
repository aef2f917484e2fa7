"""What a part costs beyond its work: here, in two processes, and on Ray with two workers.

    python benchmarks/engines.py [--parts 200] [--rows 4096] [--rounds 3] [--address A]

The work is none, the pool lies in a file. First: seconds until the first part is done (starting workers, which is paid
once a signal). Then: milliseconds a part after that, the median of the rounds. A part of 4,096 rows takes a tokeniser
about a second and a small model minutes.
"""

from __future__ import annotations

import argparse
import operator
import statistics
import tempfile
import time
from pathlib import Path

from scale import make

from thresher.compute.cluster import connect
from thresher.compute.local import Local, Mapper, Work
from thresher.compute.processes import Processes
from thresher.compute.ray import Ray
from thresher.core.pool import Pool
from thresher.data.read import load_pool


def timed(mapper: Mapper, done: list[float], pool: Pool, size: int) -> tuple[float, float]:
    """(seconds to the first part, seconds a part afterwards)."""
    done.clear()
    start = time.perf_counter()
    mapper.map(operator.is_, pool.parts(size))  # type: ignore[arg-type]
    return done[0] - start, (done[-1] - done[1]) / (len(done) - 2)


def main() -> None:
    """Every engine in turn, round after round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--address")
    args = parser.parse_args()
    done: list[float] = []
    told: Work = lambda i, part: done.append(time.perf_counter())  # noqa: E731
    engines = {"here": Local(told), "two processes": Processes(2, told),
               "Ray, two workers": Ray(args.address, workers=2, progress=told)}  # fmt: skip
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "pool.jsonl", args.rows)
        pool = load_pool(str(Path(folder) / "pool.jsonl"), cache=Path(folder))
        start = time.perf_counter()
        connect(args.address)
        print(f"Ray itself: {time.perf_counter() - start:.1f} s to start or reach")
        for _ in range(args.rounds):
            for name, mapper in engines.items():
                found[name].append(timed(mapper, done, pool, max(args.rows // args.parts, 1)))
    for name, times in found.items():
        first, each = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:<18} first part after {first:6.2f} s, then {1e3 * each:8.3f} ms a part")


if __name__ == "__main__":
    main()
