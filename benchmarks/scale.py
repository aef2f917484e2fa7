"""Rows against seconds and memory, step by step: how each grows from a hundred thousand rows to ten million.

    python benchmarks/scale.py [--sizes 100000,1000000] [--workers 1,2] [--steps read,open,...] [--json FILE]
    python benchmarks/scale.py --sizes 100000,1000000,10000000 --keep FOLDER --json docs/results/scale.json
    python benchmarks/scale.py --plan docs/results/scale.json [--rows 1e9] [--cores 256]

Each step runs in a process of its own and says its seconds, its seconds of cores and its largest resident size
(VmHWM, mapped pages included; with workers that of the largest worker times their number on top). Rows are about
1 kB of made-up words in seven groups; one in a hundred repeats an earlier row, one in a hundred nearly does.
`slope` is the exponent between two sizes: 1 is proportional. `of peak` is the share of what this machine does at best,
measured in the same process: of the rate at which memory is copied, for the bytes that a step must move, and of that of
products of matrices, for trajectories. At small sizes seconds are mostly imports. The bar: 8 GB at ten million rows.
--plan multiplies what was measured at the largest size, with its own slope where that is above 1.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thresher.compute.process import settle

BAR = 8e9
QUERIES, POINTS, CLUSTERS = 32, 12, 100
SHARE = "5%"


def make(path: Path, rows: int) -> None:
    """The pool, and a target of its kind beside it."""
    import numpy as np

    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = ["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(60_000)]
    drawn = np.minimum(rng.zipf(1.15, size=(40_000, 10)) - 1, len(words) - 1)
    phrases = [" ".join(words[j] for j in row) for row in drawn.tolist()]
    last = ("", "")
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, rows, 10_000):
            picked = rng.integers(len(phrases), size=(min(10_000, rows - start), 15)).tolist()
            kind = rng.random(len(picked))
            for i, row in enumerate(picked):
                said = (" ".join(phrases[j] for j in row[:4]), " ".join(phrases[j] for j in row[4 : 8 + row[4] % 8]))
                if kind[i] < 0.01:
                    said = last
                elif kind[i] < 0.02:
                    said = (last[0], last[1] + " more")
                file.write(f'{{"id": "r{start + i}", "source": "s{(start + i) % 7}", "prompt": "{said[0]}?", '
                           f'"response": "{said[1]}."}}\n')  # fmt: skip
                last = said
    with path.with_name("target.jsonl").open("w", encoding="utf-8") as file:
        for row in rng.integers(len(phrases), size=(QUERIES, 8)).tolist():
            said = " ".join(phrases[j] for j in row)
            file.write(json.dumps({"prompt": said[: len(said) // 2], "response": said[len(said) // 2 :]}) + "\n")


def setting_of(folder: Path, target: bool = False) -> Any:
    from thresher.core.store import Store
    from thresher.setting import Setting, Sources

    sources = Sources(pool=str(folder / "pool.jsonl"), target=(str(folder / "target.jsonl"),) if target else ())
    return Setting.open(sources, store=Store(folder / "store"))


def opened(folder: Path) -> Any:
    from thresher.core.pool import Pool

    return Pool.open(Path((folder / "path").read_text()))


def step_read(folder: Path, workers: int) -> dict[str, Any]:
    """File to Arrow, fingerprint included."""
    from thresher.data.read import load_pool

    pool = load_pool(str(folder / "pool.jsonl"), cache=folder / "store")
    (folder / "path").write_text(str(pool.path))
    return {}


def step_open(folder: Path, workers: int) -> dict[str, Any]:
    """What every later command does first: hash the file, map it, count the groups."""
    return {"groups": len(setting_of(folder).pool.group_names)}


def step_check(folder: Path, workers: int) -> dict[str, Any]:
    """Groups, untrainable rows, exact and near copies."""
    from thresher.data.check import check

    found = check(opened(folder))
    return {key: found["duplicates"][key] for key in ("exact", "near")}


def chosen(folder: Path, method: str, workers: int, target: bool = False) -> dict[str, Any]:
    from thresher import choosing
    from thresher.compute.processes import Processes

    setting = setting_of(folder, target)
    store = folder / f"store-{method}-{workers}"  # measurements are not found, the pool is
    setting = type(setting)(**{**vars(setting), "store": type(setting.store)(store)})
    choice = choosing.choose(setting, method, SHARE, mapper=Processes(workers))
    choosing.write(choice, store / "out")
    return {"chosen": len(choice.index)}


def step_random(folder: Path, workers: int) -> dict[str, Any]:
    """`thresher select random`, whole: a twentieth, written with scores and card."""
    return chosen(folder, "random", workers)


def step_longest(folder: Path, workers: int) -> dict[str, Any]:
    """The same by words of the answer."""
    return chosen(folder, "longest", workers)


def step_bm25(folder: Path, workers: int) -> dict[str, Any]:
    """The same by BM25 against 32 target rows."""
    return chosen(folder, "bm25", workers, target=True)


def step_trajectories(folder: Path, workers: int) -> dict[str, Any]:
    """Loss curves of 12 points, mapped, to 100 clusters, balanced."""
    import numpy as np

    from thresher.compute.hardware import measure_cpu
    from thresher.core.cost import Load
    from thresher.selectors.cluster_balanced import ClusterBalanced

    n = len(opened(folder))
    path = folder / "curves.npy"
    curves = np.lib.format.open_memmap(path, "w+", np.float32, (n, POINTS))
    rng, when = np.random.default_rng(0), np.linspace(0, 1, POINTS, dtype=np.float32)
    for at in range(0, n, 100_000):
        b = min(100_000, n - at)
        level, drop, rate = (rng.gamma(k, s, (b, 1)).astype(np.float32) for k, s in ((4, 0.3), (3, 0.5), (2, 2.0)))
        curves[at : at + b] = level + drop * np.exp(-rate * when) + 0.1
    curves.flush()
    del curves
    selector, start = ClusterBalanced(clusters=CLUSTERS), time.perf_counter()
    selector.choose(np.load(path, mmap_mode="r"), price=np.ones(n), budget=n / 20, rng=rng)
    seconds = time.perf_counter() - start
    path.unlink()
    rate = selector.cost(Load(n=n, tokens=0, d=POINTS)).flops / seconds
    return {"seconds": seconds, "of_peak": rate / measure_cpu().peak_fp32_flops}


def step_top_k(folder: Path, workers: int) -> dict[str, Any]:
    """A twentieth of given scores."""
    import numpy as np

    from thresher.selectors.top_k import TopK

    n, rng = len(opened(folder)), np.random.default_rng(0)
    chosen = TopK().choose(rng.random(n), price=np.ones(n), budget=n / 20, rng=rng)
    return {"chosen": len(chosen), "moved": 16 * n}


def step_stratified(folder: Path, workers: int) -> dict[str, Any]:
    """A twentieth, spread over the groups."""
    import numpy as np

    from thresher.selectors.stratified import Stratified

    pool, rng = opened(folder), np.random.default_rng(0)
    n = len(pool)
    chosen = Stratified().choose(pool.group_index(), price=np.ones(n), budget=n / 20, rng=rng)
    return {"chosen": len(chosen), "moved": 16 * n}


def step_export(folder: Path, workers: int) -> dict[str, Any]:
    """A twentieth in random order as the trainers read it."""
    import numpy as np

    from thresher.core.method import Subset
    from thresher.data.export import write_selected

    pool = opened(folder)
    index = np.random.default_rng(0).permutation(len(pool))[: len(pool) // 20]
    write_selected(pool, Subset(index, np.zeros(len(index))), folder / "export")
    return {"moved": 2 * (folder / "export" / "selected.jsonl").stat().st_size}


STEPS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    name.removeprefix("step_"): step for name, step in list(globals().items()) if name.startswith("step_")
}
MAPPED = ("longest", "bm25")  # what workers share


def child(name: str, folder: Path, workers: int) -> None:
    """Run one step and say what it took."""
    settle(threads=1)
    start = time.perf_counter()
    said = STEPS[name](folder, workers)
    seconds = said.pop("seconds", time.perf_counter() - start)
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    mine, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    if workers > 1:
        peak += workers * others.ru_maxrss * 1024
    cores = sum(one.ru_utime + one.ru_stime for one in (mine, others))
    size = said.pop("moved", (folder / "pool.jsonl").stat().st_size)
    of_peak = said.pop("of_peak", size / seconds / copying())
    print(json.dumps({"seconds": seconds, "core_seconds": cores, "peak_bytes": peak, "of_peak": of_peak, **said}))


def copying() -> float:
    """Bytes a second that memory is copied here."""
    import numpy as np

    there, best = np.ones(1 << 25, np.uint8), math.inf
    for _ in range(5):
        start = time.perf_counter()
        there.copy()
        best = min(best, time.perf_counter() - start)
    return len(there) / best


def measured(sizes: list[int], workers: list[int], steps: list[str], keep: Path | None) -> list[dict[str, Any]]:
    lines = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = keep / str(rows) if keep else Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "pool.jsonl").exists():
                make(folder / "pool.jsonl", rows)
            for step in dict.fromkeys(["read", *steps]):
                for count in workers if step in MAPPED else [1]:
                    lines.append({"rows": rows, "step": step, "workers": count, **ran(step, folder, count)})
                    show(lines)
    return lines


def ran(step: str, folder: Path, workers: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--step", step, "--keep", str(folder), "--workers", str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{step} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def show(lines: list[dict[str, Any]]) -> None:
    """The last line, with its slopes."""
    line = lines[-1]
    if len(lines) == 1:
        print(f"{'rows':>10} {'step':<13}{'workers':>7}{'seconds':>10}{'of cores':>10}{'us a row':>10}{'slope':>7}"
              f"{'peak MB':>9}{'slope':>7}{'of peak':>9}")  # fmt: skip
    print(f"{line['rows']:>10,} {line['step']:<13}{line['workers']:>7}{line['seconds']:>10.2f}"
          f"{line['core_seconds']:>10.2f}{1e6 * line['seconds'] / line['rows']:>10.2f}"
          f"{slope(lines, line, 'seconds'):>7.2f}{line['peak_bytes'] / 1e6:>9.0f}"
          f"{slope(lines, line, 'peak_bytes'):>7.2f}{line['of_peak']:>9.4f}"
          + ("" if line["rows"] < 10_000_000 else f"  {'met' if line['peak_bytes'] <= BAR else 'MISSED'}"),
          flush=True)  # fmt: skip


def slope(lines: list[dict[str, Any]], line: dict[str, Any], what: str) -> float:
    """The exponent of growth since the next smaller size; nan where there is none."""
    same = [one for one in lines if (one["step"], one["workers"]) == (line["step"], line["workers"])]
    before = max((one for one in same if one["rows"] < line["rows"]), key=lambda one: one["rows"], default=None)
    if before is None:
        return math.nan
    return math.log(line[what] / before[what]) / math.log(line["rows"] / before["rows"])


def plan(lines: list[dict[str, Any]], rows: float, cores: int) -> None:
    """Figures for a larger pool, as a table in Markdown."""
    print(f"| step | measured at | core-hours of {rows:.0e} rows | hours on {cores} cores | GB in one process |")
    print("|---|---|---|---|---|")
    for step in dict.fromkeys(line["step"] for line in lines):
        one = max((line for line in lines if line["step"] == step and line["workers"] == 1), key=lambda x: x["rows"])
        times, size = rows / one["rows"], max(slope(lines, one, "peak_bytes"), 0.0)
        growth = times ** max(1.0, 0.0 if math.isnan(found := slope(lines, one, "core_seconds")) else found)
        hours = one["core_seconds"] * growth / 3600
        memory = one["peak_bytes"] * times ** (1.0 if math.isnan(size) else size) / 1e9
        spread = f"{hours / cores:.2f}" if step in MAPPED else "one core a shard"
        print(f"| {step} | {one['rows']:,} | {hours:.1f} | {spread} | {memory:.0f} |")


def main() -> None:
    """Measure, print; or plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100000")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--keep", type=Path, help="a folder to work in and to keep")
    parser.add_argument("--json", type=Path, help="leave the figures in this file")
    parser.add_argument("--plan", type=Path, help="figures of an earlier run: print what a larger pool takes")
    parser.add_argument("--rows", type=float, default=1e9)
    parser.add_argument("--cores", type=int, default=256)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        child(args.step, args.keep, int(args.workers))
    elif args.plan:
        plan(json.loads(args.plan.read_text()), args.rows, args.cores)
    else:
        sizes, workers = ([int(float(x)) for x in text.split(",")] for text in (args.sizes, args.workers))
        lines = measured(sizes, workers, args.steps.split(","), args.keep)
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
