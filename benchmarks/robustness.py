"""How much planted noise does each method pick, and what does a 100:1 skew of groups become under it?

    python benchmarks/robustness.py [--rows 2000] [--methods random s2l s2l,max_level=0.8 ...] [--store DIR] [--json]
    python benchmarks/robustness.py --pools synthetic --rows 600 --scorer scratch:0.3m --recording points=4

Two pools: the synthetic one, and a seeded sample of the instruction pool in ../shared/data. Each is made worse twice:
a share of the answers becomes that of another row, and, apart from that, groups are drawn so that their sizes fall from
100 to 1. A method's name may carry fields after commas. Reported over the seeds of the choice: the share of chosen rows
that are noise over that of the pool (1: as at random, 0: none), and the chosen rows' share of each group, from the
pool's largest to its smallest. Proxy and scorer are one small model, trained anew on each of the four pools.

There is no bar: whether noise is picked depends on what the proxy could learn of the pool.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from source_precision import sampled

from thresher.compute.process import settle

METHODS = (
    "random", "random:balanced", "ppl-top", "ppl-mid", "ppl-low", "s2l", "s2l:stratified", "s2l,max_level=0.8",
    "s2l,max_rise=0.0",
)  # fmt: skip
ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=2000)
ARGS.add_argument("--methods", nargs="*", default=list(METHODS))
ARGS.add_argument("--pools", nargs="*", choices=("synthetic", "real"), default=["synthetic", "real"])
ARGS.add_argument("--worse", nargs="*", choices=("noise", "skew"), default=["noise", "skew"])
ARGS.add_argument("--noise", type=float, default=0.2, help="share of wrong answers")
ARGS.add_argument("--wrong", choices=("another's", "shuffled"), default="another's")
ARGS.add_argument("--ratio", type=int, default=100, help="largest group over smallest")
ARGS.add_argument("--groups", type=int, default=5, help="groups that are kept under the skew")
ARGS.add_argument("--budget", default="10%")
ARGS.add_argument("--seeds", type=int, default=3)
ARGS.add_argument("--scorer", default="scratch:3m")
ARGS.add_argument("--recording", nargs="*", default=[], help="fields of the proxy's run, FIELD=VALUE")
ARGS.add_argument("--store", type=Path, default=Path(".store"))
ARGS.add_argument("--json", action="store_true")


def main() -> None:
    """Make worse, choose, count, print."""
    args = ARGS.parse_args()
    settle()
    lines = []
    for pool in args.pools:
        for worse in args.worse:
            for line in measured(args, pool, worse):
                lines.append(line)
                if not args.json:
                    show(line)
    if args.json:
        print(json.dumps(lines, indent=1))


def measured(args: argparse.Namespace, name: str, worse: str) -> Iterator[dict[str, Any]]:
    """One line for each method on one pool."""
    import numpy as np

    from thresher.choosing import choose
    from thresher.core.store import Store
    from thresher.errors import ThresherError
    from thresher.setting import Setting, Sources

    path, about = made_worse(args, name, worse)
    setting = Setting.open(Sources(pool=str(path), scorer=args.scorer), store=Store(args.store))
    size = np.bincount(setting.pool.group_index())
    largest_first = np.argsort(-size, kind="stable")
    noisy = np.array([row.get("planted") == "wrong answer" for row in setting.pool.origin()])
    for words in args.methods:
        method, fields = fields_of(words, args.recording)
        line: dict[str, Any] = {"pool": name, "worse": worse, "method": words, **about}
        start, chosen = time.perf_counter(), []
        try:
            for seed in range(args.seeds):
                chosen.append(choose(setting, method, args.budget, seed=seed, overrides=fields))
        except ThresherError as error:
            yield line | {"error": str(error)}
            continue
        rows, group = [choice.index for choice in chosen], setting.pool.group_index()
        shares = np.mean([np.bincount(group[r], minlength=len(size)) / len(r) for r in rows], axis=0)
        yield line | {
            "rows": len(setting.pool), "chosen": [len(r) for r in rows],
            "noise_chosen": [float(noisy[r].mean()) for r in rows], "noise_pool": float(noisy.mean()),
            "groups_chosen": shares[largest_first].tolist(), "groups_pool": (size / size.sum())[largest_first].tolist(),
            "notes": list(chosen[0].selection.subset.notes), "selection_flops": chosen[0].selection_flops,
            "seconds": time.perf_counter() - start,
        }  # fmt: skip


def made_worse(args: argparse.Namespace, name: str, worse: str) -> tuple[Path, dict[str, Any]]:
    """The pool as a file, made once, and what was done to it."""
    from thresher.data.corrupt import with_skew, with_wrong_answers
    from thresher.data.read import load_pool
    from thresher.data.synthetic import synthetic

    if name == "synthetic":
        pool = synthetic(args.rows)[0]
    else:
        pool = load_pool(str(sampled(args.rows, args.store)), cache=args.store)
    if worse == "noise":
        pool, about = with_wrong_answers(pool, args.noise, wrong=args.wrong)[0], {"wrong": args.wrong}
        sign = f"{args.noise}-{args.wrong.replace(chr(39), '')}"
    else:
        pool, about = with_skew(pool, args.ratio, groups=args.groups), {"ratio": args.ratio}
        sign = f"{args.ratio}-{args.groups}"
    path = args.store / f"worse-{name}-{args.rows}-{worse}-{sign}.jsonl"
    args.store.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in pool.origin()), encoding="utf-8")
    return path, about


def fields_of(words: str, recording: list[str]) -> tuple[str, dict[str, Any]]:
    """A method's name and the fields after its commas; those of the proxy's run where it has one."""
    from thresher import methods
    from thresher.cli._options import set_fields

    name, *own = words.split(",")
    run = [f"recording.{one}" for one in recording] if "'recording'" in str(methods.get(name).signals) else []
    return name, set_fields((*own, *run))


def show(line: dict[str, Any]) -> None:
    """One line of the table."""
    head = f"{line['pool']:10}{line['worse']:6}{line['method']:22}"
    if "error" in line:
        print(head, line["error"], flush=True)
        return
    if line["worse"] == "noise":
        lift = [one / line["noise_pool"] for one in line["noise_chosen"]]
        share = sum(line["noise_chosen"]) / len(lift)
        told = f"noise {share:5.1%} of the choice, {share / line['noise_pool']:.2f} of the pool's "
        told += f"{line['noise_pool']:.0%} (seeds {min(lift):.2f} to {max(lift):.2f})"
    else:
        told = "groups " + " ".join(f"{share:.0%}" for share in line["groups_chosen"])
        told += "; pool " + " ".join(f"{share:.1%}" for share in line["groups_pool"])
    print(f"{head}{line['chosen'][0]:>5} of {line['rows']:<6}{told}  {line['seconds']:.0f} s", flush=True)


if __name__ == "__main__":
    main()
