"""What recording a proxy's losses costs on top of training it, for each way of recording.

    python benchmarks/s2l.py [--rows 2000] [--rounds 3] [--json]

A 3M proxy that starts at random, three epochs, T = 12 points, rows of a synthetic pool; all ways in one process, in
turns. "train" is the same training with nothing recorded, its checkpoints included where asked (`--kept`).

    passes    all rows read at each of the 12 points
    grid      at 4 of them, straight lines between
    recorded  in flight: each row's loss from the step it is trained on, resumable at the 12 points

FLOPs are those the meter counted, padding included.

Bar: recorded takes at most 1.25 of the time of train, and no FLOPs on top.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=2000)
ARGS.add_argument("--proxy", default="scratch:3m")
ARGS.add_argument("--rounds", type=int, default=3)
ARGS.add_argument("--threads", type=int, default=2)
ARGS.add_argument("--json", action="store_true")
BAR = 1.25
WAYS = ("passes", "grid", "recorded")


def main() -> None:
    """Measure, print."""
    args = ARGS.parse_args()
    settled = settle(threads=args.threads)
    with tempfile.TemporaryDirectory() as home:
        seconds, flops = measured(args, Path(home))
    ratios = {
        way: statistics.median(t / b for t, b in zip(seconds[way], seconds["train"], strict=True)) for way in WAYS
    }
    work = {way: flops[way] / flops["train"] for way in WAYS}
    if args.json:
        print(json.dumps({"seconds": seconds, "flops": flops, "time": ratios, "work": work, "bar": BAR}))
        return
    print(f"{args.rows} rows, {args.proxy}, T = 12; {settled}; medians of {args.rounds}")
    print(f"{'way':<10}{'seconds':>9}{'over train':>12}{'FLOPs':>12}{'over train':>12}")
    for way in ("train", *WAYS):
        print(
            f"{way:<10}{statistics.median(seconds[way]):>9.1f}{ratios.get(way, 1.0):>12.2f}"
            f"{flops[way]:>12.3g}{work.get(way, 1.0):>12.2f}"
        )
    print(f"recorded / train: {ratios['recorded']:.2f} (bar {BAR}: {'met' if ratios['recorded'] <= BAR else 'MISSED'})")


def measured(args: argparse.Namespace, home: Path) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each round and FLOPs of each way."""
    from thresher.core.pool import Pool
    from thresher.models.load import encoded, resolve
    from thresher.signals.recording import Recording
    from thresher.training.sft import train

    pool = Pool.from_messages(rows(args.rows), name="planted")
    model = resolve(args.proxy, pool=pool, cache=home)
    signal = Recording(model=model, batch_size=32, micro_batch=8)
    tokens = encoded(model, pool, signal.max_tokens)

    def alone(out: Path) -> float:
        return train(model, [(tokens.take(signal.order(pool)), signal.recipe())], seed=0, out=out).flops

    def recorded(way: str) -> Callable[[Path], float]:
        def run(out: Path) -> float:
            one = replace(signal, capture=way)
            return sum(receipt.flops for receipt in one.stages(one.prepare(pool, None, out)))

        return run

    ways = {"train": alone, **{way: recorded(way) for way in WAYS}}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    flops = {}
    for number in range(args.rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            flops[way] = run(home / f"{way}-{number}")
            seconds[way].append(time.perf_counter() - start)
    return seconds, flops


def rows(n: int) -> list[list[dict[str, str]]]:
    """Questions and answers of 20 to 200 words."""
    import numpy as np

    rng = np.random.default_rng(0)
    words = np.array([f"w{i:04d}"[: 2 + i % 4] + "aeiou"[i % 5] for i in range(3000)])
    odds = 1 / np.arange(1, 3001)
    made = []
    for _ in range(n):
        q, a = (" ".join(rng.choice(words, int(size), p=odds / odds.sum())) for size in rng.integers(10, 100, 2))
        made.append([{"role": "user", "content": q}, {"role": "assistant", "content": a}])
    return made


if __name__ == "__main__":
    main()
