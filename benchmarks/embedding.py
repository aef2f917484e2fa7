"""Embedding throughput as a share of this machine's own matmul peak.

    python benchmarks/embedding.py [--rows 512] [--rounds 3] [--threads 2] [--encoder NAME] [--json]

The encoder is MiniLM-shaped (6 layers, 384) with random weights unless one is named. Rows have 8 to 256 tokens,
median about 60, in no order. The share counts the FLOPs that the rows' real tokens need, so padding shows up as a
lower share. The peak is measured in the same rounds, on the encoder's own matrix shapes.

    file   batches of 32 in file order, padded to the longest: sentence-transformers without its sorting
    ours   length order under a token budget
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=512)
ARGS.add_argument("--rounds", type=int, default=3)
ARGS.add_argument("--threads", type=int, default=2)
ARGS.add_argument("--encoder", default=None, help="a model's name instead of the random one")
ARGS.add_argument("--json", action="store_true")


def main() -> None:
    args = ARGS.parse_args()
    settle(threads=args.threads)
    import torch

    from thresher.compute import flops

    torch.set_num_threads(args.threads)
    opened, rows = encoder(args.encoder), planted_rows(args.rows)
    runs = {"file": lambda: in_file_order(opened, rows, 32), "ours": lambda: opened.encode(rows, "mean")}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    peaks, vectors = [], {}
    for _ in range(args.rounds):
        peaks.append(peak(opened.architecture))
        for name, run in runs.items():
            start = time.perf_counter()
            vectors[name] = run()
            seconds[name].append(time.perf_counter() - start)
    lengths = rows.lengths().astype(float)
    needed = flops.embed(opened.architecture, lengths.sum(), (lengths**2).sum())
    taken = {name: statistics.median(times) for name, times in seconds.items()}
    found = {
        "rows_per_second": {name: len(rows) / t for name, t in taken.items()},
        "tokens_per_second": {name: lengths.sum() / t for name, t in taken.items()},
        "share_of_peak": {name: needed / t / statistics.median(peaks) for name, t in taken.items()},
        "peak": statistics.median(peaks),
        "apart": float(abs(vectors["file"] - vectors["ours"]).max()),
    }
    if args.json:
        print(json.dumps(found))
        return
    print(
        f"{len(rows)} rows, {int(lengths.sum()):,} tokens; {args.rounds} rounds; peak {found['peak'] / 1e9:.0f} GFLOP/s"
    )
    for name in runs:
        print(
            f"{name:<6}{found['rows_per_second'][name]:>8.0f} rows/s {found['tokens_per_second'][name]:>9.0f} tokens/s "
            f"{found['share_of_peak'][name]:>7.1%} of peak"
        )
    print(
        f"ours / file: {taken['file'] / taken['ours']:.2f}; largest difference of a vector's entry {found['apart']:.1e}"
    )


def encoder(name: str | None) -> object:
    """Open, in float32; the random one needs no tokenizer."""
    from pathlib import Path

    import torch
    from transformers import BertConfig, BertModel

    from thresher.compute.flops import Architecture
    from thresher.models.encoder import Encoder, open_encoder
    from thresher.models.load import resolve

    if name is not None:
        return open_encoder(resolve(name, cache=Path(tempfile.gettempdir())), dtype="float32")
    torch.manual_seed(0)
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    model = BertModel(config).eval().requires_grad_(False)
    return Encoder(model, None, "cpu", "float32", 0, Architecture.of(config), ())


def planted_rows(n: int) -> object:
    import numpy as np

    from thresher.data.chat import join

    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(np.log(60), 0.8, n)), 8, 256).astype(int)
    ids = [rng.integers(1000, 30_000, length) for length in lengths]
    return join(ids, [np.ones(length, bool) for length in lengths], np.zeros(n, np.int64), "none")


def in_file_order(opened: object, rows: object, batch: int) -> object:
    """The usual loop."""
    import numpy as np
    import torch

    out = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            some = [rows.row(i)[0] for i in range(start, min(start + batch, len(rows)))]
            ids = torch.zeros(len(some), max(map(len, some)), dtype=torch.int64)
            mask = torch.zeros_like(ids)
            for at, row in enumerate(some):
                ids[at, : len(row)], mask[at, : len(row)] = torch.from_numpy(row.astype(np.int64)), 1
            hidden = opened.model(input_ids=ids, attention_mask=mask).last_hidden_state
            out.append((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))
    return torch.cat(out).numpy()


def peak(arch: object) -> float:
    """FLOP/s of the best of the encoder's own matrix shapes, 2,048 tokens at once."""
    import torch

    best = 0.0
    for into, out in {(m.into, m.out) for m in arch.matrices}:
        x, weight = torch.randn(2048, into), torch.randn(out, into)
        with torch.inference_mode():
            for _ in range(6):
                start = time.perf_counter()
                torch.nn.functional.linear(x, weight)
                best = max(best, 2.0 * 2048 * into * out / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    main()
