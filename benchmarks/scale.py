"""Rows against seconds and memory, step by step: how each grows from a hundred thousand rows to ten million.

    python benchmarks/scale.py [--sizes 100000,1000000] [--workers 1,2] [--steps read,open,...] [--json FILE]
    python benchmarks/scale.py --sizes 100000,1000000,10000000 --keep FOLDER --json docs/results/scale.json
    python benchmarks/scale.py --show docs/results/scale.json
    python benchmarks/scale.py --plan docs/results/scale.json [--rows 1e9]

Each step runs in a process of its own, after the imports, and says its seconds, its seconds of cores, its largest
resident size (`peak`, VmHWM: libraries, some 0.35 GB, and mapped pages included; with workers that of the largest
worker times their number on top) and its largest size without the pages of mapped files, which the system may take
back at any time (`own`). Rows are about 0.9 kB of made-up words in seven groups; one in a hundred repeats an earlier
row, one in a hundred nearly does. `slope` is the exponent between two sizes of the seconds of cores, 1 is proportional;
seconds depend on what else the machine does (`load`: how many processes wanted to run). `of peak` is the share of what
one core of this machine does at best, measured in the same process: of the rate at which memory is copied, for the
bytes that a step must move, and of that of products of matrices, for trajectories. The bar: 8 GB of peak at ten million
rows.

What stands in the file of --json is not measured again, so that a long run goes on where it was stopped; what a step
chose stands in it too, and must be the same with every number of workers.
--plan multiplies the time of the largest size, with its own slope where that is above 1, and adds to its own
memory what a row added between the two largest sizes.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import threading
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
    card = choosing.write(choice, store / "out")
    return {"chosen": len(choice.index), "sha256": {name: sign[:16] for name, sign in card["sha256"].items()}}


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
    selector, start = ClusterBalanced(clusters=CLUSTERS), clock()
    chosen = selector.choose(np.load(path, mmap_mode="r"), price=np.ones(n), budget=n / 20, rng=rng)
    took = since(start)
    path.unlink()
    rate = selector.cost(Load(n=n, tokens=0, d=POINTS)).flops / took["core_seconds"]
    return {**took, "of_peak": rate / multiplying(), "chosen": len(chosen)}


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
MAPPED = ("bm25",)  # what is measured with every number of workers


def child(name: str, folder: Path, workers: int, told: Any) -> None:
    """Run one step and tell what it took."""
    held = [0]
    threading.Thread(target=watch, args=(held,), daemon=True).start()
    start = clock()
    said = STEPS[name](folder, workers)
    took = {**since(start), **said, "own_bytes": max(held)}
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    if workers > 1:
        peak += workers * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    size = took.pop("moved", (folder / "pool.jsonl").stat().st_size)
    of_peak = took.pop("of_peak", None) or size / took["core_seconds"] / copying()
    told.send({**took, "peak_bytes": peak, "of_peak": of_peak, "load": os.getloadavg()[0]})


def watch(held: list[int]) -> None:
    """The process's own memory, twenty times a second: what is resident without the pages of mapped files."""
    page = os.sysconf("SC_PAGE_SIZE")
    while True:
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
        held[0] = max(held[0], page * (resident - shared))
        time.sleep(0.05)


def clock() -> tuple[float, float]:
    """(seconds, seconds of cores, finished children's included)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)


def since(start: tuple[float, float]) -> dict[str, float]:
    """What passed; at least a clock's tick."""
    seconds, cores = (now - then for now, then in zip(clock(), start, strict=True))
    return {"seconds": seconds, "core_seconds": max(cores, 1e-3)}


def copying() -> float:
    """Bytes a second that a core copies here; of its own time, which others do not take from."""
    import numpy as np

    there = np.ones(1 << 25, np.uint8)
    return len(there) / best(there.copy)


def multiplying() -> float:
    """FLOP/s of a product of matrices on a core."""
    import numpy as np

    left = np.ones((1024, 1024), np.float32)
    return 2 * 1024**3 / best(lambda: left @ left)


def best(work: Callable[[], object]) -> float:
    """Seconds of a core, of the least disturbed of five."""
    found = []
    for _ in range(5):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def measured(
    sizes: list[int], workers: list[int], steps: list[str], keep: Path | None, file: Path | None
) -> None:  # fmt: skip
    """Every step at every size, each line written and shown as soon as it is there."""
    warm()
    lines = json.loads(file.read_text()) if file and file.exists() else []
    for line in lines:
        show(lines, line)
    for rows in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = keep / str(rows) if keep else Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            for step in dict.fromkeys(["read", *steps]):
                for count in workers if step in MAPPED else [1]:
                    line = {"rows": rows, "step": step, "workers": count}
                    if any(line.items() <= one.items() for one in lines) and (step != "read" or there(folder)):
                        continue
                    if not (folder / "pool.jsonl").exists():
                        make(folder / "pool.jsonl", rows)
                    line |= ran(step, folder, count)
                    lines = [one for one in lines if key(one) != key(line)] + [line]
                    show(lines, line)
                    if file:
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_text("[\n" + ",\n".join(map(json.dumps, sorted(lines, key=key))) + "\n]\n")


def warm() -> None:
    """Load once what every step needs: torch takes some seconds, Arrow half of one at its first use."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from thresher import choosing  # noqa: F401
    from thresher.data import check, export, read  # noqa: F401
    from thresher.selectors import cluster_balanced, stratified, top_k  # noqa: F401

    pc.unique(pa.array(["once"]))


def key(line: dict[str, Any]) -> tuple[int, int, int]:
    """Which measurement it is."""
    return line["rows"], list(STEPS).index(line["step"]), line["workers"]


def there(folder: Path) -> bool:
    """Whether the folder's pool has been read."""
    return (folder / "path").exists() and Path((folder / "path").read_text()).exists()


def ran(step: str, folder: Path, workers: int) -> dict[str, Any]:
    if step == "read":
        shutil.rmtree(folder / "store", ignore_errors=True)  # else it is there already
    context = multiprocessing.get_context("fork")
    here, told = context.Pipe()
    process = context.Process(target=child, args=(step, folder, workers, told))
    process.start()
    told.close()
    try:
        return here.recv()
    except EOFError:
        sys.exit(f"{step} at {folder} failed")
    finally:
        process.join()
        for left in (*folder.glob(f"store-{step}-{workers}"), *folder.glob("export")):
            shutil.rmtree(left)


def show(lines: list[dict[str, Any]], line: dict[str, Any]) -> None:
    """One line, with its slopes; before the first what they are."""
    if line is lines[0]:
        print("| rows | step | workers | seconds | of cores | us a row | slope | peak MB | own MB | of peak | load |\n"
              "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    met = "" if line["rows"] < 10_000_000 else " met" if line["peak_bytes"] <= BAR else " MISSED"
    print(f"| {line['rows']:,} | {line['step']} | {line['workers']} | {line['seconds']:.1f} "
          f"| {line['core_seconds']:.2f} | {1e6 * line['core_seconds'] / line['rows']:.2f} "
          f"| {slope(lines, line, 'core_seconds'):.2f} | {line['peak_bytes'] / 1e6:.0f}{met} "
          f"| {line['own_bytes'] / 1e6:.0f} | {line['of_peak']:.2g} | {line['load']:.0f} |".replace("nan", ""),
          flush=True)  # fmt: skip
    other = next((one for one in lines if one["workers"] == 1 and key(one)[:2] == key(line)[:2]), line)
    if other is not line:
        same = "the same bytes" if other["sha256"] == line["sha256"] else "OTHER BYTES"
        wall, cores = (line[what] / other[what] for what in ("seconds", "core_seconds"))
        print(f"| | | | x {wall:.2f} | x {cores:.2f} | {same} | | | | | |")


def slope(lines: list[dict[str, Any]], line: dict[str, Any], what: str) -> float:
    """The exponent of growth since the next smaller size; nan where there is none."""
    same = [one for one in lines if (one["step"], one["workers"]) == (line["step"], line["workers"])]
    before = max((one for one in same if one["rows"] < line["rows"]), key=lambda one: one["rows"], default=None)
    if before is None:
        return math.nan
    return math.log(line[what] / before[what]) / math.log(line["rows"] / before["rows"])


def plan(lines: list[dict[str, Any]], rows: float) -> None:
    """Figures for a larger pool, as a table in Markdown."""
    print(f"| step | measured at | us a row | core-hours of {rows:.0e} rows | bytes a row | GB in one process |")
    print("|---|---:|---:|---:|---:|---:|")
    for step in dict.fromkeys(line["step"] for line in lines):
        *smaller, one = sorted((x for x in lines if x["step"] == step and x["workers"] == 1), key=lambda x: x["rows"])
        if not smaller:
            sys.exit(f"{step} was measured at one size: how it grows takes two. Measure --sizes 100000,1000000.")
        times, growth = rows / one["rows"], slope(lines, one, "core_seconds")
        hours = one["core_seconds"] / 3600 * times ** max(1.0, growth)
        a_row = max(one["own_bytes"] - smaller[-1]["own_bytes"], 0) / (one["rows"] - smaller[-1]["rows"])
        memory = (one["own_bytes"] + a_row * (rows - one["rows"])) / 1e9
        print(f"| {step} | {one['rows']:,} | {1e6 * one['core_seconds'] / one['rows']:.2f} | {hours:.1f} "
              f"| {a_row:.0f} | {memory:.0f} |")  # fmt: skip


def main() -> None:
    """Measure, print; or plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100000")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--keep", type=Path, help="a folder to work in and to keep")
    parser.add_argument("--json", type=Path, help="leave the figures in this file; those in it are not measured again")
    parser.add_argument("--show", type=Path, help="figures of an earlier run: print them")
    parser.add_argument("--plan", type=Path, help="figures of an earlier run: print what a larger pool takes")
    parser.add_argument("--rows", type=float, default=1e9)
    args = parser.parse_args()
    if args.show:
        lines = json.loads(args.show.read_text())
        for line in lines:
            show(lines, line)
    elif args.plan:
        plan(json.loads(args.plan.read_text()), args.rows)
    else:
        settle(threads=1)
        sizes, workers = ([int(float(x)) for x in text.split(",")] for text in (args.sizes, args.workers))
        measured(sizes, workers, args.steps.split(","), args.keep, args.json)


if __name__ == "__main__":
    main()
