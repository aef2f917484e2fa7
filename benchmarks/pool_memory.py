"""A million rows of 1 kB: memory to open, count and take subsets; time and memory to read, fingerprint and score.

    python benchmarks/pool_memory.py [--rows 1000000] [--keep FOLDER]

Each step runs in a fresh process and reports its own peak (VmHWM) and seconds, beside its bar.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUERIES = 300
PART = 65536


def make(path: Path, rows: int) -> None:
    """Rows of about 1 kB: words drawn by Zipf's law from 60 000, prompt and response, a source and an id."""
    import numpy as np

    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = ["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(60000)]
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, rows, 10000):
            drawn = np.minimum(rng.zipf(1.15, size=(min(10000, rows - start), 140)) - 1, len(words) - 1)
            for i, row in enumerate(drawn.tolist()):
                said = [words[j] for j in row]
                record = {"id": f"r{start + i}", "source": f"s{(start + i) % 7}", "prompt": " ".join(said[:40]) + "?",
                          "response": " ".join(said[40:]).capitalize() + "."}  # fmt: skip
                file.write(json.dumps(record) + "\n")


def step_read(folder: Path) -> dict:
    """File to Arrow, fingerprint included."""
    from thresher.data.read import load_pool

    pool = load_pool(str(folder / "pool.jsonl"), cache=folder)
    (folder / "path").write_text(str(pool.path))
    return {"rows": len(pool), "fingerprint": pool.fingerprint[:12]}


def step_open(folder: Path) -> dict:
    """Open, count, take a tenth at random, take it apart, count the groups."""
    import numpy as np

    from thresher.core.pool import Pool

    pool = Pool.open(Path((folder / "path").read_text()))
    rng = np.random.default_rng(1)
    took = {}
    for k in (2000, len(pool) // 20):
        start = time.perf_counter()
        subset = pool.take(np.sort(rng.choice(len(pool), size=k, replace=False)))
        took[f"take {k}"] = round(time.perf_counter() - start, 2)
        assert len(subset) == k, "a subset has as many rows as were asked for"
        del subset
    return {"rows": len(pool), "groups": len(pool.group_names), **took}


def step_bm25(folder: Path) -> dict:
    """Every row against 300 target rows, part by part as the pipeline does."""
    import numpy as np

    from thresher.core.pool import Pool
    from thresher.signals.bm25 import BM25

    pool = Pool.open(Path((folder / "path").read_text()))
    target = pool.take(np.arange(QUERIES) * (len(pool) // QUERIES))
    signal = BM25()
    state = signal.prepare(pool, target, folder)
    total = 0.0
    for number, rows in pool.parts(PART):
        values = signal.measure(state, rows)
        np.save(folder / f"part-{number:06d}.npy", values)
        total += float(values.sum())
    return {"terms": len(state.terms), "sum": total}


STEPS = {"read": step_read, "open": step_open, "bm25": step_bm25}


def peak_mb() -> float:
    """This process's largest resident size so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def child(step: str, folder: Path) -> None:
    """Run one step and say what it took."""
    start = time.perf_counter()
    said = STEPS[step](folder)
    print(json.dumps({"seconds": time.perf_counter() - start, "peak_mb": peak_mb(), **said}))


def main() -> None:
    """Make the rows, run each step in its own process, print the figures beside the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="a folder to work in and to keep")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        return child(args.step, args.keep)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "pool.jsonl").exists():
            make(folder / "pool.jsonl", args.rows)
        size = (folder / "pool.jsonl").stat().st_size
        print(f"{args.rows:,} rows, {size / 1e9:.2f} GB, {size / args.rows:.0f} bytes a row")
        told = {}
        for step in STEPS:
            command = [sys.executable, __file__, "--step", step, "--keep", str(folder)]
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
            if ran.returncode:
                sys.exit(f"{step} failed:\n{ran.stderr}")
            told[step] = json.loads(ran.stdout)
            print(step, told[step])
        seconds = told["read"]["seconds"] + told["bm25"]["seconds"]
        peak = max(told["read"]["peak_mb"], told["bm25"]["peak_mb"])
        print(f"open, count, take: peak {told['open']['peak_mb']:.0f} MB (bar 500 MB)")
        print(f"read, fingerprint, BM25 against {QUERIES}: {seconds:.0f} s (bar 240 s)")
        print(f"the same: peak {peak:.0f} MB (bar 6000 MB)")
    return None


if __name__ == "__main__":
    main()
