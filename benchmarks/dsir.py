"""DSIR log-weights against the authors' package data-selection: documents a second, and how far apart they are.

    python benchmarks/dsir.py [--documents 100000] [--rounds 3] [--json]

Both read the same synthetic documents (46 words on average, a Zipf law over 50,000 words) and give a log-weight for
each; both on one thread. The package runs in turn with ours. With `--sample S` it reads only the first S documents
and its rate is taken from those, since it needs half a minute for every 100,000.

Bars: sha256 at least 2.5 times the package, equal to 1e-10; mixed at least 8 times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--documents", type=int, default=100_000)
ARGS.add_argument("--sample", type=int, default=None, help="documents the package reads in the timed rounds")
ARGS.add_argument("--rounds", type=int, default=3)
ARGS.add_argument("--json", action="store_true")
BARS = {"sha256 / package": 2.5, "mixed / package": 8.0}


def main() -> None:
    args = ARGS.parse_args()
    settle(threads=1)
    from thresher.core.pool import Pool

    texts, near = documents(args.documents, 0), documents(1000, 1)
    some = texts[: args.sample or args.documents]
    pool, target = (Pool.from_messages([[{"role": "text", "content": t}] for t in part]) for part in (texts, near))
    sampled = pool if len(some) == len(texts) else pool.slice(0, len(some))
    runs: dict[str, tuple[Callable[[], object], int]] = {
        "package": (lambda: package(some, near), len(some)),
        "sha256": (lambda: ours("sha256", pool, target), len(texts)),
        "mixed": (lambda: ours("mixed", pool, target), len(texts)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    weights = {}
    for _ in range(args.rounds):
        for name, (run, _) in runs.items():
            start = time.perf_counter()
            weights[name] = run()
            seconds[name].append(time.perf_counter() - start)
    exact = weights["sha256"] if sampled is pool else ours("sha256", sampled, target)
    speed = {name: runs[name][1] / statistics.median(times) for name, times in seconds.items()}
    show(args, speed, float(abs(exact - weights["package"]).max()), weights)


def documents(n: int, seed: int) -> list[str]:
    import numpy as np

    rng = np.random.default_rng(seed)
    words = np.array([f"w{i:x}" for i in range(50_000)])
    share = 1 / np.arange(10, 50_010)
    lengths = rng.integers(12, 80, n)
    drawn = words[rng.choice(50_000, int(lengths.sum()), p=share / share.sum())]
    return [" ".join(row) for row in np.split(drawn, np.cumsum(lengths)[:-1])]


def package(texts: list[str], near: list[str]) -> object:
    import numpy as np
    from data_selection import HashedNgramDSIR

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, part in (("pool", texts), ("target", near)):
            paths.append(Path(folder) / f"{name}.jsonl")
            paths[-1].write_text("".join(json.dumps({"text": text}) + "\n" for text in part))
        dsir = HashedNgramDSIR([str(paths[0])], [str(paths[1])], folder, num_proc=1)
        dsir.fit_importance_estimator()
        dsir.compute_importance_weights()
        return np.load(Path(folder) / "log_importance_weights" / "0.npy")


def ours(hash: str, pool: object, target: object) -> object:
    """As the pipeline runs it: part after part, through a store."""
    import numpy as np

    from thresher import pipeline
    from thresher.core.store import Store
    from thresher.signals import dsir

    dsir._remembered.cache_clear()
    dsir._WORDS.clear()
    with tempfile.TemporaryDirectory() as folder:
        return np.array(pipeline.measure(dsir.DSIR(hash=hash), pool, target, store=Store(folder)).values)


def show(args: argparse.Namespace, speed: dict[str, float], apart: float, weights: dict) -> None:
    from scipy.stats import spearmanr

    ratios = {f"{name} / package": speed[name] / speed["package"] for name in ("sha256", "mixed")}
    rank = float(spearmanr(weights["sha256"], weights["mixed"]).statistic)
    if args.json:
        print(json.dumps({"documents_per_second": speed, "ratios": ratios, "apart": apart, "rank_correlation": rank}))
        return
    print(f"{args.documents:,} documents, medians of {args.rounds}")
    for name, value in speed.items():
        print(f"{name:<10}{value:>12,.0f} documents/s")
    for name, value in ratios.items():
        print(f"{name}: {value:.2f} (bar {BARS[name]}: {'met' if value >= BARS[name] else 'MISSED'})")
    print(f"largest difference of a weight, sha256 against the package: {apart:.1e} (bar 1e-10)")
    print(f"rank correlation of the two hashes: {rank:.4f}")


if __name__ == "__main__":
    main()
