"""Transport potentials against geomloss, POT and ott-jax: seconds, memory, error reached; and a million rows.

    python benchmarks/transport.py [--rows 20000] [--targets 1000] [--dim 384] [--rounds 3] [--threads 2] [--json]
    python benchmarks/transport.py --large 1000000 --large-targets 10000 [--whole] [--precision bfloat16]
    python benchmarks/transport.py --growth

Cost 1 - cos, absolute epsilon, to an L1 error of the masses of 1e-4, in single precision (geomloss: as slow an
annealing as --annealing says; it has no rule that stops at an error). Each contestant runs in a process of its own,
in turns, after a small problem that compiles and loads; memory is the process's peak beyond what stood before.
`share` is that of the floor, passes times the products' FLOPs over the rate of one large product measured there.
--large fits on a sample of 50,000 rows and scores all, or with --whole polishes on every row first; rows lie on disk.

    pip install geomloss POT ott-jax      (the extra: parity)

Bars: fused at most half of POT log's seconds in a tenth of its memory; kept at most the fastest peer's seconds. A
million rows by 10,000 targets: sample fit within 180 s, whole pool within 900 s, and 4 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from thresher.compute import memory
from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=20_000)
ARGS.add_argument("--targets", type=int, default=1000)
ARGS.add_argument("--dim", type=int, default=384)
ARGS.add_argument("--epsilon", type=float, nargs="*", default=[0.1, 0.02])
ARGS.add_argument("--rounds", type=int, default=3)
ARGS.add_argument("--threads", type=int, default=2)
ARGS.add_argument("--annealing", type=float, default=0.9)
ARGS.add_argument("--only", nargs="*", default=None, help="names of the contestants")
ARGS.add_argument("--large", type=int, default=0)
ARGS.add_argument("--large-targets", type=int, default=10_000)
ARGS.add_argument("--whole", action="store_true")
ARGS.add_argument("--precision", default="float32")
ARGS.add_argument("--growth", action="store_true", help="slopes of a pass's time in rows and targets")
ARGS.add_argument("--alone", default="", help="what the others start; prints one JSON line")
ARGS.add_argument("--json", action="store_true")
TOLERANCE = 1e-4


def planted(n: int, q: int, d: int) -> tuple:
    """Unit rows around fifty centres, and targets around ten of them."""
    import numpy as np

    rng = np.random.default_rng(0)
    centre = rng.standard_normal((50, d), dtype=np.float32)
    sides = []
    for m, kinds in ((n, 50), (q, 10)):
        side = rng.standard_normal((m, d), dtype=np.float32)
        side += centre[rng.integers(0, kinds, m)]
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        sides.append(side)
    return tuple(sides)


def fused(x, z, epsilon, args):
    """Nothing of n q kept."""
    return ours(x, z, epsilon, kernel_bytes=0.0)


def kept(x, z, epsilon, args):
    """The kernel kept."""
    return ours(x, z, epsilon)


def fused_bfloat16(x, z, epsilon, args):
    """Products in bfloat16, polished."""
    return ours(x, z, epsilon, kernel_bytes=0.0, precision="bfloat16")


def fused_plain(x, z, epsilon, args):
    """The textbook's steps: neither over-relaxed nor foretold."""
    return ours(x, z, epsilon, kernel_bytes=0.0, omega=1.0, memory=0)


def ours(x, z, epsilon, **changed):
    from thresher.signals._transport import Settings, solve

    settings = Settings(epsilon=epsilon, relative=False, ground="cosine", tolerance=TOLERANCE, **changed)
    found = solve(x, z, settings=settings)
    return found.f, found.sweeps


def pot_log(x, z, epsilon, args):
    return pot(x, z, epsilon, "sinkhorn_log")


def pot_kernel(x, z, epsilon, args):
    return pot(x, z, epsilon, "sinkhorn")


def pot(x, z, epsilon, method):
    import numpy as np
    import ot

    nu, mu = (np.full(len(side), 1 / len(side), np.float32) for side in (x, z))
    # its error is the 2-norm of the targets' masses, looked at every tenth pass: this bound is about 1e-4 in the 1-norm
    _, log = ot.sinkhorn(
        nu, mu, 1 - x @ z.T, epsilon, method=method, numItermax=5000, stopThr=TOLERANCE / len(z) ** 0.5, log=True
    )
    f = log["log_v"] if method == "sinkhorn_log" else np.log(log["v"])
    return epsilon * (np.asarray(f, np.float64) - np.log(mu)), int(log["niter"])


def ott(x, z, epsilon, args):
    import jax
    import numpy as np
    from ott.geometry import geometry
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    @jax.jit
    def run(x, z):
        problem = linear_problem.LinearProblem(geometry.Geometry(cost_matrix=1 - x @ z.T, epsilon=epsilon))
        out = sinkhorn.Sinkhorn(threshold=TOLERANCE, max_iterations=5000)(problem)
        return out.f, out.g, out.errors

    _, f, errors = map(np.asarray, run(x, z))
    return np.asarray(f, np.float64), 10 * int((errors > 0).sum())


def geomloss(x, z, epsilon, args):
    import torch
    from geomloss import SamplesLoss

    # |x - z|^2 / 2 = 1 - cos on the sphere
    loss = SamplesLoss(
        "sinkhorn", p=2, blur=epsilon**0.5, scaling=args.annealing, debias=False, potentials=True, backend="tensorized"
    )
    f = loss(torch.from_numpy(x), torch.from_numpy(z))[1]
    return f.squeeze().double().numpy(), 0


CONTESTANTS = {
    "fused": fused, "kept": kept, "fused_bfloat16": fused_bfloat16, "fused_plain": fused_plain, "pot_log": pot_log,
    "pot_kernel": pot_kernel, "ott": ott, "geomloss": geomloss,
}  # fmt: skip
PEERS = ("pot_log", "pot_kernel", "ott", "geomloss")


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def alone(name: str, args: argparse.Namespace) -> dict:
    """One contestant under one epsilon, after a small problem that compiles and loads."""
    run, (epsilon,) = CONTESTANTS[name], args.epsilon
    x, z = planted(args.rows, args.targets, args.dim)
    run(*planted(300, 50, args.dim), 0.1, args)
    if name == "ott":
        run(x, z, epsilon, args)  # compiled for this shape
    memory.reset_peak()
    before, begun, cores = memory.peak_bytes(), time.perf_counter(), time.process_time()
    f, passes = run(x, z, epsilon, args)
    return {
        "seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cores, "passes": passes,
        "bytes": memory.peak_bytes() - before, "error": error_of(x, z, f, epsilon), "rate": rate(x, z),
    }  # fmt: skip


def error_of(x, z, f, epsilon: float) -> float:
    """The L1 error of the targets' masses under f, in double precision."""
    import numpy as np

    received = np.zeros(len(z))
    for at in range(0, len(x), 1000):
        logits = (f + (x[at : at + 1000].astype(np.float64) @ z.T.astype(np.float64))) / epsilon
        kernel = np.exp(logits - logits.max(1, keepdims=True))
        received += (kernel / kernel.sum(1, keepdims=True)).sum(0) / len(x)
    return float(np.abs(received - 1 / len(z)).sum())


def rate(x, z) -> float:
    """FLOPs a second of one large single-precision product here and now, the best of three."""
    import torch

    a, b = torch.from_numpy(x[:8192]), torch.from_numpy(z).T.contiguous()
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        a @ b
        best = max(best, 2.0 * a.numel() * b.shape[1] / (time.perf_counter() - start))
    return best


def compare(args: argparse.Namespace) -> dict:
    """Everyone in turn, `rounds` times; medians."""
    names = [name for name in CONTESTANTS if args.only is None or name in args.only]
    runs: dict[str, dict[str, list[dict]]] = {str(epsilon): {} for epsilon in args.epsilon}
    missing: dict[str, str] = {}
    for _ in range(args.rounds):
        for epsilon, name in ((e, name) for e in args.epsilon for name in names if name not in missing):
            done = start(name, args, epsilon=[epsilon])
            if isinstance(done, str):
                missing[name] = done
            else:
                runs[str(epsilon)].setdefault(name, []).append(done)
    medians = {epsilon: {name: median(of) for name, of in by_name.items()} for epsilon, by_name in runs.items()}
    return {"missing": missing, "by_epsilon": medians}


def median(of: list[dict]) -> dict:
    """Of each number."""
    return {key: statistics.median(one[key] for one in of) for key in of[0]}


def start(name: str, args: argparse.Namespace, **changed: object) -> dict | str:
    """One contestant in a process of its own; why it could not run, if so."""
    given = {**vars(args), "alone": name, **changed}
    words = [sys.executable, __file__]
    for key, value in given.items():
        if key in ("only", "json", "growth", "rounds") or value is False or value is None or value == "":
            continue
        words += [f"--{key.replace('_', '-')}"]
        words += [] if value is True else map(str, value) if isinstance(value, list) else [str(value)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def large(args: argparse.Namespace) -> dict:
    """Rows on disk; a sample's potential, on wish polished on all rows, then every row's score."""
    import numpy as np
    import torch

    from thresher.signals._sweeps import Source
    from thresher.signals._transport import Settings, score, solve

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        x = np.lib.format.open_memmap(path, "w+", np.float32, (args.large, args.dim))
        _, z = planted(100, args.large_targets, args.dim)
        rng = np.random.default_rng(1)
        centre = np.random.default_rng(0).standard_normal((50, args.dim), dtype=np.float32)  # as the targets'
        for at in range(0, args.large, 50_000):
            part = rng.standard_normal((min(50_000, args.large - at), args.dim), dtype=np.float32)
            part += centre[rng.integers(0, 50, len(part))]
            x[at : at + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
        x.flush()
        del x
        x = np.load(path, mmap_mode="r")
        settings = Settings(precision=args.precision)  # as the signal has it: relative epsilon 0.03, tolerance 0.01
        stages, clock = {}, time.perf_counter()
        sample = Source(np.asarray(x[np.sort(rng.permutation(args.large)[:50_000])]))
        found = solve(sample, z, settings=settings)
        stages["sample"] = {"seconds": time.perf_counter() - clock, "passes": found.sweeps, "error": found.error,
                            "form": found.form}  # fmt: skip
        if args.whole:
            clock = time.perf_counter()
            found = solve(x, z, settings=settings, start=found.f, mean_cost=found.mean_cost)
            stages["whole"] = {"seconds": time.perf_counter() - clock, "passes": found.sweeps, "error": found.error,
                               "form": found.form}  # fmt: skip
        clock = time.perf_counter()
        for at in range(0, args.large, 4096):
            score(x[at : at + 4096], found)
        stages["scores"] = {"seconds": time.perf_counter() - clock, "passes": 1, "error": 0.0, "form": "fused"}
        a, b = torch.from_numpy(np.array(x[:4096])), torch.from_numpy(z).T.contiguous()
        clock = time.perf_counter()
        for _ in range(3):
            a @ b
        speed = 3 * 2.0 * len(a) * len(z) * args.dim / (time.perf_counter() - clock)
    return {"stages": stages, "peak_bytes": peak(), "rate": speed}


def growth(args: argparse.Namespace) -> dict:
    """Seconds of ten fused passes over doubled rows and targets, and the slopes of their logarithms."""
    import numpy as np

    from thresher.signals._transport import Settings, solve

    found: dict = {}
    for axis, sizes in (("n", [(n, 500) for n in (4000, 8000, 16_000, 32_000)]),
                        ("q", [(8000, q) for q in (250, 500, 1000, 2000)])):  # fmt: skip
        seconds = []
        for n, q in sizes:
            x, z = planted(n, q, args.dim)
            settings = Settings(tolerance=1e-12, max_sweeps=10, kernel_bytes=0.0)
            times = []
            for _ in range(3):
                clock = time.perf_counter()
                solve(x, z, settings=settings)
                times.append(time.perf_counter() - clock)
            seconds.append(min(times))
        places = [size["nq".index(axis)] for size in sizes]
        slope = float(np.polyfit(np.log(places), np.log(seconds), 1)[0])
        found[axis] = {"sizes": places, "seconds": seconds, "slope": slope}
    return found


def show(args: argparse.Namespace, settled: object, found: dict) -> None:
    """Tables and bars."""
    print(f"{args.rows:,} rows x {args.targets:,} targets, d = {args.dim}; {settled}; medians of {args.rounds}")
    for epsilon, by_name in found["by_epsilon"].items():
        print(f"\nepsilon {epsilon}")
        print(f"{'':<16}{'seconds':>9}{'of cores':>10}{'passes':>8}{'MiB':>8}{'L1 error':>11}  share of the floor")
        for name, one in by_name.items():
            floor = one["passes"] * 2.0 * args.rows * args.targets * args.dim / one["rate"]
            share = f"{floor / one['seconds']:.0%}" if name.startswith("fused") else ""
            print(f"{name:<16}{one['seconds']:>9.2f}{one['cpu_seconds']:>10.2f}{one['passes']:>8.0f}"
                  f"{one['bytes'] / 2**20:>8.0f}{one['error']:>11.1e}  {share}")  # fmt: skip
        show_bars(by_name)
    for name, reason in found["missing"].items():
        print(f"{name:<16}not run: {reason}")


def show_bars(by_name: dict) -> None:
    """Whether they are met."""
    if {"pot_log", "fused"} <= set(by_name):
        theirs, own = by_name["pot_log"], by_name["fused"]
        time_of, bytes_of = own["seconds"] / theirs["seconds"], own["bytes"] / max(theirs["bytes"], 1)
        verdict = "met" if time_of <= 0.5 and bytes_of <= 0.1 else "MISSED"
        print(f"fused / POT log: {time_of:.2f} of its seconds (bar 0.5), {bytes_of:.3f} of its bytes (bar 0.1): "
              f"{verdict}")  # fmt: skip
    peers = [by_name[n]["seconds"] for n in PEERS if n in by_name and by_name[n]["error"] < 10 * TOLERANCE]
    if peers and "kept" in by_name:
        ratio = by_name["kept"]["seconds"] / min(peers)
        print(f"kept / fastest peer that got there: {ratio:.2f} (bar 1: {'met' if ratio <= 1 else 'MISSED'})")


def show_large(args: argparse.Namespace, settled: object, found: dict) -> None:
    """Stages against the floor, and the bars."""
    print(f"{args.large:,} rows x {args.large_targets:,} targets, d = {args.dim}, {args.precision}; {settled}")
    total = sum(one["seconds"] for one in found["stages"].values())
    for name, one in found["stages"].items():
        rows = min(args.large, 50_000) if name == "sample" else args.large
        floor = one["passes"] * 2.0 * rows * args.large_targets * args.dim / found["rate"]
        print(f"{name:<8}{one['seconds']:>9.1f} s {one['passes']:>4} passes, {one['form']}, error {one['error']:.1e}, "
              f"{floor / one['seconds']:.0%} of the products' floor")  # fmt: skip
    bar = 900 if args.whole else 180
    met = total <= bar and found["peak_bytes"] <= 4e9
    verdict = "met" if met else "MISSED"
    print(f"{total:.0f} s in all (bar {bar}), peak {found['peak_bytes'] / 1e9:.2f} GB (bar 4): {verdict}")


def main() -> None:
    """Measure, print."""
    args = ARGS.parse_args()
    settled = settle(threads=args.threads)
    if args.alone:
        print(json.dumps(large(args) if args.alone == "large" else alone(args.alone, args)))
        return
    if args.growth:
        found = growth(args)
        for axis, one in found.items():
            print(f"{axis}: {one['sizes']} {[round(s, 2) for s in one['seconds']]} s, slope {one['slope']:.2f}")
        return
    found = start("large", args) if args.large else compare(args)
    if isinstance(found, str):
        sys.exit(found)
    if args.json:
        print(json.dumps(found))
    elif args.large:
        show_large(args, settled, found)
    else:
        show(args, settled, found)


if __name__ == "__main__":
    main()
