"""K-means of loss trajectories: against faiss in one run, and a million or ten million rows in a process of its own.

    python benchmarks/clustering.py [--rows 250000] [--points 40] [--clusters 100] [--rounds 3] [--threads 2] [--json]
    python benchmarks/clustering.py --large 1000000 [--points 40]
    python benchmarks/clustering.py --large 10000000 --points 12

The first compares, in turns, round after round, and prints ratios of medians: of elapsed seconds and of seconds of
cores, which a busy machine disturbs less. Everyone runs the same number of iterations on all rows. Inertias are
recomputed in double precision from the centres. The floor is what the products alone take here: one pass a row and
centre, measured in the same run.
The second runs as the selector does, training on its sample and assigning every row; the peak is that of the process
less what stood before and the trajectories themselves.

    pip install faiss-cpu      (the extra: parity)

Bars: ours / faiss on all points <= 2 in time with an inertia <= 0.99 of its own; a million x 40 below 20 s and 2 GB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=250_000)
ARGS.add_argument("--points", type=int, default=40)
ARGS.add_argument("--clusters", type=int, default=100)
ARGS.add_argument("--iterations", type=int, default=20)
ARGS.add_argument("--rounds", type=int, default=3)
ARGS.add_argument("--threads", type=int, default=2)
ARGS.add_argument("--large", type=int, default=0, help="rows of the run in a process of its own; 0 leaves it out")
ARGS.add_argument("--alone", action="store_true", help="what --large starts; prints one JSON line")
ARGS.add_argument("--json", action="store_true")
TIME, INERTIA, SECONDS, BYTES = 2.0, 0.99, 20.0, 2e9
WIDTHS = (9, 9, 10, 9, 11, 9, 9)


def main() -> None:
    """Measure, print."""
    args = ARGS.parse_args()
    settled = settle(threads=args.threads)
    if args.alone:
        print(json.dumps(alone(args)))
        return
    found = in_a_process_of_its_own(args) if args.large else compare(args)
    if args.json:
        print(json.dumps(found))
    else:
        (show_large if args.large else show)(args, settled, found)


def trajectories(n: int, t: int) -> Any:
    """Losses that fall at a rate and to a level of each row's own, with noise; many sizes, no clear clusters."""
    import numpy as np

    rng = np.random.default_rng(0)
    time = np.linspace(0, 1, t, dtype=np.float32)
    rows = np.empty((n, t), dtype=np.float32)
    for at in range(0, n, 100_000):
        b = min(100_000, n - at)
        level, drop, rate = (rng.gamma(k, s, (b, 1)).astype(np.float32) for k, s in ((4, 0.3), (3, 0.5), (2, 2.0)))
        rows[at : at + b] = level + drop * np.exp(-rate * time) + 0.15 * rng.standard_normal((b, t), dtype=np.float32)
    return np.maximum(rows, 0, out=rows)


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Everyone in turn, `rounds` times, after a small round that loads."""
    x = trajectories(args.rows, args.points)
    contestants: dict[str, Callable[[Any, argparse.Namespace], Any]] = {
        "ours": ours, "ours, random start": lambda x, a: ours(x, a, "random"), "faiss": faiss,
    }  # fmt: skip
    seconds: dict[str, list[float]] = {}
    cores: dict[str, list[float]] = {}
    centres: dict[str, Any] = {}
    missing = {}
    for name, run in contestants.items():
        try:
            run(x[:5000], args)
            seconds[name], cores[name] = [], []
        except ImportError as error:
            missing[name] = f"not installed ({error})"
    floors = []
    for _ in range(args.rounds):
        floors.append(floor(x, args))
        for name in seconds:
            start, cpu = time.perf_counter(), time.process_time()
            centres[name] = contestants[name](x, args)
            seconds[name].append(time.perf_counter() - start)
            cores[name].append(time.process_time() - cpu)
    value = {name: inertia(x, centre) for name, centre in centres.items()}
    other = "faiss" if "faiss" in value else "ours"
    wall, cpu_time = ({name: statistics.median(times) for name, times in one.items()} for one in (seconds, cores))
    return {
        "seconds": wall, "cpu_seconds": cpu_time, "floor_seconds": statistics.median(floors),
        "ratio": {name: own / wall[other] for name, own in wall.items()},
        "cpu_ratio": {name: own / cpu_time[other] for name, own in cpu_time.items()},
        "inertia_a_row": value, "inertia_ratio": {name: own / value[other] for name, own in value.items()},
        "missing": missing,
    }  # fmt: skip


def ours(x: Any, args: argparse.Namespace, start: str = "spread") -> Any:
    """Every row is trained on, as faiss is told to."""
    from thresher.selectors._kmeans import kmeans

    return kmeans(x, args.clusters, iterations=args.iterations, sample=len(x), seed=0, start=start).centre


def faiss(x: Any, args: argparse.Namespace) -> Any:
    """All points, its own start, and the assignment that comes after, which ours includes."""
    import faiss

    faiss.omp_set_num_threads(args.threads)
    found = faiss.Kmeans(x.shape[1], args.clusters, niter=args.iterations, max_points_per_centroid=len(x), seed=1)
    found.train(x)
    found.index.search(x, 1)
    return found.centroids


def floor(x: Any, args: argparse.Namespace) -> float:
    """Seconds of the products alone: iterations + 1 passes over blocks that stay in the cache."""
    import numpy as np

    centre, step = np.ascontiguousarray(x[: args.clusters].T), 1024
    out = np.empty((step, args.clusters), dtype=np.float32)
    start = time.perf_counter()
    for _ in range(args.iterations + 1):
        for at in range(0, len(x) - step + 1, step):
            np.matmul(x[at : at + step], centre, out=out)
    return time.perf_counter() - start


def inertia(x: Any, centre: Any) -> float:
    """Mean squared distance to the nearest centre, in double precision."""
    import numpy as np

    centre, total = centre.astype(np.float64), 0.0
    for at in range(0, len(x), 8192):
        block = x[at : at + 8192].astype(np.float64)
        near = (block @ (-2 * centre.T) + (centre**2).sum(axis=1)).min(axis=1)
        total += float((near + (block**2).sum(axis=1)).sum())
    return total / len(x)


def alone(args: argparse.Namespace) -> dict[str, Any]:
    """One choice of a tenth, by a selector with its defaults, whose process is asked for its peak."""
    import resource

    import numpy as np

    from thresher.selectors._kmeans import kmeans
    from thresher.selectors.cluster_balanced import ClusterBalanced

    x = trajectories(args.large, args.points)
    selector = ClusterBalanced(clusters=args.clusters, iterations=args.iterations)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start, cpu = time.perf_counter(), time.process_time()
    found = kmeans(x, args.clusters, iterations=args.iterations, sample=selector.sample, seed=0)
    seconds, cores = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    chosen = selector.choose(x, price=np.ones(len(x)), budget=float(len(x) // 10), rng=rng)
    return {
        "rows": len(x), "points": args.points, "sample": selector.sample, "seconds": seconds, "cpu_seconds": cores,
        "peak_bytes": peak, "beyond_bytes": peak - before, "trajectory_bytes": int(x.nbytes),
        "inertia_a_row": found.inertia / len(x), "chosen": len(chosen), "choosing_seconds": time.perf_counter() - start,
        "peak_choosing_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip


def in_a_process_of_its_own(args: argparse.Namespace) -> dict[str, Any]:
    """So that its peak is its own."""
    names = ("large", "points", "clusters", "iterations", "threads")
    words = [word for name in names for word in (f"--{name}", str(getattr(args, name)))]
    done = subprocess.run([sys.executable, __file__, "--alone", *words], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def show(args: argparse.Namespace, settled: object, found: dict[str, Any]) -> None:
    """The table and the bars."""
    print(f"{args.rows:,} x {args.points}, K = {args.clusters}, {args.iterations} iterations; {settled}; medians of "
          f"{args.rounds}; the products alone {found['floor_seconds']:.2f} s")  # fmt: skip
    heads = zip(("seconds", "/ faiss", "of cores", "/ faiss", "inertia", "/ faiss", "/ floor"), WIDTHS, strict=True)
    print(" " * 20 + "".join(f"{head:>{width}}" for head, width in heads))
    for name, seconds in found["seconds"].items():
        print(f"{name:<20}{seconds:>9.2f}{found['ratio'][name]:>9.2f}{found['cpu_seconds'][name]:>10.2f}"
              f"{found['cpu_ratio'][name]:>9.2f}{found['inertia_a_row'][name]:>11.5f}{found['inertia_ratio'][name]:>9.4f}"
              f"{seconds / found['floor_seconds']:>9.1f}")  # fmt: skip
    for name, reason in found["missing"].items():
        print(f"{name:<20}{reason}")
    if "faiss" in found["seconds"]:
        for what, value, bar in (
            ("time", found["ratio"]["ours"], TIME),
            ("inertia", found["inertia_ratio"]["ours"], INERTIA),
        ):
            print(f"{what}, ours / faiss: {value:.3f} (bar {bar}: {'met' if value <= bar else 'MISSED'})")


def show_large(args: argparse.Namespace, settled: object, found: dict[str, Any]) -> None:
    """One run against its bars."""
    print(f"{found['rows']:,} x {found['points']}, K = {args.clusters}, trained on {found['sample']:,}; {settled}")
    print(f"clusters {found['seconds']:.1f} s, {found['cpu_seconds']:.1f} s of cores; inertia a row "
          f"{found['inertia_a_row']:.5f}; "
          f"with choosing {found['chosen']:,} rows {found['choosing_seconds']:.1f} s")  # fmt: skip
    print(f"peak {found['peak_bytes'] / 1e9:.2f} GB (choosing {found['peak_choosing_bytes'] / 1e9:.2f}), of it "
          f"trajectories {found['trajectory_bytes'] / 1e9:.2f}, beyond what stood before "
          f"{found['beyond_bytes'] / 1e9:.2f}")  # fmt: skip
    if (found["rows"], found["points"]) == (1_000_000, 40):
        for what, value, bar in (("seconds", found["seconds"], SECONDS), ("bytes", found["peak_bytes"], BYTES)):
            print(f"{what}: {value:.3g} (bar {bar:.3g}: {'met' if value <= bar else 'MISSED'})")


if __name__ == "__main__":
    main()
