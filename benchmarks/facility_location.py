"""Facility location against apricot-select and submodlib: seconds, objective, and memory where no pair is kept.

    python benchmarks/facility_location.py [--rows 10000] [--choose 500] [--dim 384] [--rounds 3] [--threads 2] [--json]
    python benchmarks/facility_location.py --large 200000 --large-choose 50

The first compares on one machine, in turns, round after round, and prints ratios of medians; every one starts from
the same unit rows. Apricot is handed a double-precision matrix made by one product, which is kinder than what it
would do itself; submodlib makes its own. Objectives are recomputed in double precision from the rows chosen.
The second runs the mode that keeps nothing of size n^2 in a process of its own and prints its peak memory beside
that of the rows alone; the choice of a smaller budget is a prefix, so seconds a choice can be read off.

    pip install "apricot-select>=0.6,<0.7" "submodlib-py==0.0.3"      (the extra: parity)

Bars: apricot / ours >= 2.5, submodlib / ours >= 8, objectives within 1e-6 (relative); peak of the large run beyond
the rows and their unit copy below 1 GiB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=10_000)
ARGS.add_argument("--dim", type=int, default=384)
ARGS.add_argument("--choose", type=int, default=500)
ARGS.add_argument("--rounds", type=int, default=3)
ARGS.add_argument("--threads", type=int, default=2)
ARGS.add_argument("--only", nargs="*", default=None, help="names of the contestants")
ARGS.add_argument("--large", type=int, default=0, help="rows of the run that keeps no pair; 0 leaves it out")
ARGS.add_argument("--large-choose", type=int, default=50)
ARGS.add_argument("--alone", action="store_true", help="what --large starts; prints one JSON line")
ARGS.add_argument("--json", action="store_true")
BARS = {"apricot": 2.5, "submodlib": 8.0}
ALLOWED = 1e-6


def main() -> None:
    """Measure, print."""
    args = ARGS.parse_args()
    settled = settle(threads=args.threads)
    if args.alone:
        print(json.dumps(alone(args.large, args.dim, args.large_choose)))
        return
    found = {"large": in_a_process_of_its_own(args)} if args.large else compare(args)
    if args.json:
        print(json.dumps(found))
    else:
        show(args, settled, found)


def planted(n: int, d: int) -> object:
    """Unit rows around fifty centres, single precision."""
    import numpy as np

    rng = np.random.default_rng(0)
    centre = rng.standard_normal((50, d), dtype=np.float32)
    rows = rng.standard_normal((n, d), dtype=np.float32)
    rows += centre[rng.integers(0, 50, n)]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def compare(args: argparse.Namespace) -> dict:
    """Everyone in turn, `rounds` times, after a small round that compiles and loads."""
    rows, tiny = planted(args.rows, args.dim), planted(300, args.dim)
    contestants: dict[str, Callable[[object, int], list[int]]] = {
        "ours": ours,
        "ours-recomputed": lambda x, k: ours(x, k, "recomputed"),
        "apricot": apricot,
        "submodlib": submodlib,
    }
    seconds: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    chosen: dict[str, list[int]] = {}
    missing = {}
    for name, run in contestants.items():
        if args.only is None or name in args.only or name == "ours":
            try:
                run(tiny, 5)
                seconds[name], cpu[name] = [], []
            except ImportError as error:
                missing[name] = f"not installed ({error})"
    for _ in range(args.rounds):
        for name in seconds:
            start, cores = time.perf_counter(), time.process_time()
            chosen[name] = contestants[name](rows, args.choose)
            seconds[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - cores)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    value = {name: objective(rows, index) for name, index in chosen.items()}
    return {
        "seconds": median, "cpu_seconds": {name: statistics.median(times) for name, times in cpu.items()},
        "objective": value, "missing": missing,
        "ratio": {name: median[name] / median["ours"] for name in median},
        "apart": {name: abs(value[name] / value["ours"] - 1) for name in value},
        "same_order": {name: chosen[name] == chosen["ours"] for name in chosen},
    }  # fmt: skip


def ours(rows: object, k: int, similarity: str = "dense") -> list[int]:
    """The selector as a method calls it."""
    import numpy as np

    from thresher.selectors.facility_location import FacilityLocation

    selector, rng = FacilityLocation(similarity=similarity), np.random.default_rng(0)
    return selector.choose(rows, price=np.ones(len(rows)), budget=float(k), rng=rng).index.tolist()


def apricot(rows: object, k: int) -> list[int]:
    """Lazy greedy on precomputed similarities in double precision, which is what it works in."""
    import numpy as np
    from apricot import FacilityLocationSelection

    near = np.maximum(rows @ rows.T, 0).astype(np.float64)
    return FacilityLocationSelection(k, metric="precomputed", optimizer="lazy").fit(near).ranking.tolist()


def submodlib(rows: object, k: int) -> list[int]:
    """LazyGreedy on the cosines it computes itself."""
    from submodlib import FacilityLocationFunction

    function = FacilityLocationFunction(n=len(rows), mode="dense", separate_rep=False, data=rows, metric="cosine")
    found = function.maximize(budget=k, optimizer="LazyGreedy", stopIfZeroGain=False, show_progress=False)
    return [int(row) for row, _ in found]


def objective(rows: object, index: list[int]) -> float:
    """Mean cosine of a row to its nearest choice, in double precision."""
    import numpy as np

    chosen = rows[index].astype(np.float64)
    parts = (rows[at : at + 1024].astype(np.float64) @ chosen.T for at in range(0, len(rows), 1024))
    return float(sum(np.maximum(part, 0).max(axis=1).sum() for part in parts) / len(rows))


def alone(n: int, d: int, k: int) -> dict:
    """One run, whose process is asked for its peak."""
    import resource

    import numpy as np

    rows = planted(n, d)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start, cpu = time.perf_counter(), time.process_time()
    index = ours(rows, k, "recomputed")
    seconds = time.perf_counter() - start
    return {
        "rows": n, "chosen": k, "seconds": seconds, "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "peak_before_bytes": before,
        "rows_bytes": int(np.asarray(rows).nbytes), "objective": objective(rows, index),
    }  # fmt: skip


def in_a_process_of_its_own(args: argparse.Namespace) -> dict:
    """So that its peak is its own."""
    words = [sys.executable, __file__, "--alone", "--large", str(args.large), "--dim", str(args.dim)]
    words += ["--large-choose", str(args.large_choose), "--threads", str(args.threads)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def show(args: argparse.Namespace, settled: object, found: dict) -> None:
    """The table and the bars."""
    if "large" in found:
        large, mib = found["large"], 2.0**20
        beyond = large["peak_bytes"] - large["peak_before_bytes"] - large["rows_bytes"]
        print(f"{large['rows']:,} rows, d = {args.dim}, {large['chosen']} chosen, nothing of n^2 kept; {settled}")
        print(f"{large['seconds']:.0f} s, {large['cpu_seconds']:.0f} s of cores; objective {large['objective']:.6f}")
        print(f"rows {large['rows_bytes'] / mib:,.0f} MiB, peak {large['peak_bytes'] / mib:,.0f} MiB")
        verdict = "met" if beyond < 2**30 else "MISSED"
        print(f"beyond what stood before and one unit copy: {beyond / mib:,.0f} MiB (bar 1,024: {verdict})")
        return
    print(f"{args.rows:,} rows, d = {args.dim}, {args.choose} chosen; {settled}; medians of {args.rounds}")
    print(f"{'':<18}{'seconds':>10}{'of cores':>10}{'time / ours':>14}{'objective':>12}{'apart':>10}  same order")
    for name, seconds in found["seconds"].items():
        cores = found["cpu_seconds"][name]
        print(f"{name:<18}{seconds:>10.2f}{cores:>10.2f}{found['ratio'][name]:>14.2f}{found['objective'][name]:>12.6f}"
              f"{found['apart'][name]:>10.1e}  {'yes' if found['same_order'][name] else 'no'}")  # fmt: skip
    for name, reason in found["missing"].items():
        print(f"{name:<18}{reason}")
    for name, bar in BARS.items():
        if name in found["ratio"]:
            met = found["ratio"][name] >= bar and found["apart"][name] <= ALLOWED
            verdict = "met" if met else "MISSED"
            print(f"{name} / ours: {found['ratio'][name]:.2f} (bar {bar} at the same objective: {verdict})")


if __name__ == "__main__":
    main()
