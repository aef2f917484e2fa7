"""What LESS leaves on the disk: nothing of the pool's gradients kept, or kept in 8 or 16 bits, against the formula.

    python benchmarks/gradient_disk.py [--rows 2000] [--model scratch:0.3m] [--planned 270679] [--groups 3]

Scores of `--rows` synthetic rows by `less` (4 checkpoints, 8,192 dimensions) into a fresh store; bytes are those of the
files, counted. The scorer and the warm-up's checkpoints (adapters and two moments, 12 bytes a parameter) are shown
apart: they do not depend on the rows. The paper's code keeps t n d numbers of 2 bytes and copies them twice.

Bar: storeless, the planned number of rows: under 50 MB beside the warm-up.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=2000)
ARGS.add_argument("--model", default="scratch:0.3m")
ARGS.add_argument("--planned", type=int, default=270_679)
ARGS.add_argument("--groups", type=int, default=3)
CHECKPOINTS, DIMENSIONS = 4, 8192


def main() -> None:
    """Measure, print."""
    args = ARGS.parse_args()
    settled = settle(threads=1)
    print(f"{args.rows:,} rows, {args.groups} target groups, t = {CHECKPOINTS}, d = {DIMENSIONS:,}; {settled}")
    print(f"{'kept':<8}{'bytes':>14}{'of them scorer':>17}{'formula':>14}{'measured/formula':>18}"
          f"{f'{args.planned:,} rows':>18}")  # fmt: skip
    for keep in ("none", "int8", "bf16"):
        total, warmup, formula = measured(args, keep)
        left = total - warmup
        planned = formula_of(keep, args.planned, args.groups)
        bar = f"   bar {'met' if planned < 50e6 else 'MISSED'}" if keep == "none" else ""
        ratio = left / formula
        print(f"{keep:<8}{total:>14,}{warmup:>17,}{formula:>14,.0f}{ratio:>18.2f}{planned / 1e6:>15,.1f} MB{bar}")


def measured(args: argparse.Namespace, keep: str) -> tuple[int, int, float]:
    """(bytes of all files, of the warm-up's, the formula's)."""
    from thresher import pipeline
    from thresher.core.pool import Pool
    from thresher.core.store import Store
    from thresher.data.synthetic import synthetic
    from thresher.models import load
    from thresher.signals._tuning import Tuning
    from thresher.signals.less import Less
    from thresher.signals.warmup import Warmup

    pool, target, _ = synthetic(args.rows + 600)
    pool = pool.take(range(args.rows))
    messages = list(target.messages())
    near = Pool.from_messages(messages, groups=[str(i % args.groups) for i in range(len(messages))])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = load.resolve(args.model, pool=pool, cache=root / "models")
        warmup = Warmup(
            model=model, tuning=Tuning(on="pool", rows=128, epochs=1), share=0.05, epochs=CHECKPOINTS,
            batch_size=16, max_tokens=128,
        )  # fmt: skip
        signal = Less(warmup=warmup, dimensions=DIMENSIONS, keep=keep)
        store = Store(root / "store")
        pipeline.measure(signal, pool, near, store=store)
        sizes = {path: path.stat().st_size for path in store.root.rglob("*") if path.is_file()}
        run = sum(size for path, size in sizes.items() if "scorer" in path.parts or "epochs-" in str(path))
    return sum(sizes.values()), run, formula_of(keep, len(pool), args.groups)


def formula_of(keep: str, n: int, columns: int) -> float:
    """4 n columns + 4 t columns d, and t n bytes-of-a-direction where they are kept."""
    from thresher.signals._kept import bytes_per_row

    kept = CHECKPOINTS * n * bytes_per_row(keep, DIMENSIONS)
    return 4.0 * n * columns + 4.0 * CHECKPOINTS * columns * DIMENSIONS + kept


if __name__ == "__main__":
    main()
