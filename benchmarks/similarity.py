"""Affinities of a million rows to 300 targets, by words and by vectors: seconds, and memory at its peak.

    python benchmarks/similarity.py [--rows 1000000] [--targets 300] [--d 384] [--folder DIR] [--json]

The pool is an Arrow file that is mapped, its rows some 40 words; vectors are planted (an encoder's pass over a
million rows is another benchmark, embedding.py). Each measurement runs in a process of its own through the
pipeline and a store, as `thresher select` does, and reports its own peak: resident memory without mapped files,
which the system takes back when it needs them, and with them. The folder takes 12 (d + targets) bytes a row.

Bar: 4 GB at a million rows x 300 targets, mapped files included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=1_000_000)
ARGS.add_argument("--targets", type=int, default=300)
ARGS.add_argument("--d", type=int, default=384)
ARGS.add_argument("--folder", type=Path, default=None, help="where pool and store are made [a temporary one]")
ARGS.add_argument("--json", action="store_true")
ARGS.add_argument("--one", choices=("bm25", "similarity"), default=None, help="what a child process measures")
BAR = 4e9


def main() -> None:
    args = ARGS.parse_args()
    settle(threads=1)
    if args.one:
        print(json.dumps(measure(args)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        args.folder = Path(folder)
        make_pool(args)
        found = {name: child(args, name) for name in ("bm25", "similarity")}
    if args.json:
        print(json.dumps(found))
        return
    print(f"{args.rows:,} rows x {args.targets} targets, d = {args.d}")
    for name, one in found.items():
        met = "met" if one["peak_bytes"] <= BAR else "MISSED"
        print(f"{name:<12}{one['seconds']:>9.1f} s   peak {one['peak_bytes'] / 1e9:.2f} GB (bar 4 GB: {met})")


def child(args: argparse.Namespace, name: str) -> dict:
    options = [f"--{key}={getattr(args, key)}" for key in ("rows", "targets", "d", "folder")]
    done = subprocess.run(
        [sys.executable, __file__, *options, "--one", name], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def make_pool(args: argparse.Namespace) -> None:
    """Rows as the reader would leave them, some thousand at a time."""
    import numpy as np

    words = np.array([f"word{i}" for i in range(30_000)])
    share = 1 / np.arange(10, 30_010)
    share /= share.sum()
    for name, n, seed in (("pool", args.rows, 0), ("target", args.targets, 1)):
        rng = np.random.default_rng(seed)
        with (args.folder / f"{name}.jsonl").open("w") as file:
            for start in range(0, n, 10_000):
                some = min(10_000, n - start)
                drawn = words[rng.choice(30_000, some * 40, p=share)].reshape(some, 40)
                for row in drawn:
                    file.write(json.dumps({"prompt": " ".join(row[:15]), "response": " ".join(row[15:])}) + "\n")


def measure(args: argparse.Namespace) -> dict:
    """One signal through the pipeline; its peak from the system."""
    from thresher import pipeline
    from thresher.core.store import Store
    from thresher.data.read import load_pool

    store = Store(args.folder / "store")
    pool, target = (load_pool(str(args.folder / f"{name}.jsonl"), cache=store.root) for name in ("pool", "target"))
    signal = planted(args.d) if args.one == "similarity" else words_signal()
    start = time.perf_counter()
    found = pipeline.measure(signal, pool, target, store=store)
    grouped = pipeline._grouped(found.values, target)  # what a mean-affinity method does next
    seconds = time.perf_counter() - start
    assert grouped.shape == (args.rows, 1)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {"seconds": seconds, "peak_bytes": int(status["VmHWM"].split()[0]) * 1024}


def words_signal() -> object:
    from thresher.signals.bm25 import BM25

    return BM25()


def planted(d: int) -> object:
    """Similarity of vectors that are drawn by the rows' fingerprint: no encoder runs."""
    from dataclasses import dataclass
    from typing import ClassVar

    import numpy as np

    from thresher.core.cost import Cost, Load
    from thresher.core.method import Signal
    from thresher.signals.similarity import Similarity

    @dataclass(frozen=True, kw_only=True)
    class Planted(Signal):
        d: int

        kind: ClassVar[str] = "feature"

        def sizes(self, pool: object, target: object) -> Load:
            return Load(n=len(pool), tokens=0, d=self.d)

        def cost(self, load: Load) -> Cost:
            return Cost()

        def measure(self, state: object, rows: object) -> np.ndarray:
            rng = np.random.default_rng(int(rows.fingerprint[:8], 16))
            return rng.standard_normal((len(rows), self.d), np.float32)

    return Similarity(of=Planted(d=d))


if __name__ == "__main__":
    main()
