"""Row losses under a 135M-shaped model: tokens a second, and the share of this machine's own matmul peak.

    python benchmarks/row_loss.py [--rows 32] [--rounds 3] [--threads 2] [--json]

Policies take turns round after round in one process, and medians are compared, so that whoever else uses the
cores slows all of them. Peaks are measured in the same rounds, on the model's own matrix shapes.

    single     one row at a time, fp32, logits everywhere: what the papers' codes do
    file       batches of 8 in file order, fp32, padded, logits everywhere
    ours       length order under a token budget, logits where a trained token is predicted
    ours-bf16  the same in bfloat16, where the processor multiplies it natively

Tokens are real tokens of the rows, the same for every policy; the share counts the FLOPs those tokens need with
logits at the predicted positions only, so padding and needless logits show up as a lower share.

Bars: ours >= 1.4 file; ours-bf16 >= 3.5 single; share of peak >= 45% in fp32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rows", type=int, default=24)
ARGS.add_argument("--rounds", type=int, default=3)
ARGS.add_argument("--threads", type=int, default=2)
ARGS.add_argument("--json", action="store_true")
BARS = {"ours / file": 1.4, "ours-bf16 / single": 3.5, "ours share of peak": 0.45}


def main() -> None:
    """Measure, print."""
    args = ARGS.parse_args()
    settled = settle(threads=args.threads)

    import torch

    from thresher.models.device import native_bfloat16

    torch.set_num_threads(args.threads)
    rows = planted_rows(args.rows)
    models = {"float32": opened("float32")}
    if native_bfloat16():
        models["bfloat16"] = opened("bfloat16")
    runs: dict[str, Callable[[], object]] = {
        "single": lambda: logits_everywhere(models["float32"], rows, 1),
        "file": lambda: logits_everywhere(models["float32"], rows, 8),
        **{name: (lambda o=o: ours(o, rows)) for name, o in zip(("ours", "ours-bf16"), models.values(), strict=False)},
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    peaks: dict[str, list[float]] = {dtype: [] for dtype in models}
    losses = {}
    for _ in range(args.rounds):
        for dtype in models:
            peaks[dtype].append(peak(getattr(torch, dtype)))
        for name, run in runs.items():
            start = time.perf_counter()
            losses[name] = run()
            seconds[name].append(time.perf_counter() - start)
    show(args, settled, rows, models, seconds, peaks, losses)


def planted_rows(n: int) -> object:
    """Rows of 16 to 1,024 tokens, median about 170, in no order; about half of each is its answer."""
    import numpy as np

    from thresher.data.chat import join

    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(np.log(170), 0.9, n)), 16, 1024).astype(int)
    shares = rng.uniform(0.2, 0.8, n)
    ids = [rng.integers(0, 49152, length) for length in lengths]
    trained = [np.arange(length) >= length * share for length, share in zip(lengths, shares, strict=True)]
    return join(ids, trained, np.zeros(n, np.int64), "none")


def opened(dtype: str) -> object:
    """The shape of SmolLM2-135M with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from thresher.compute.flops import Architecture
    from thresher.models import attention
    from thresher.models.load import Opened

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(getattr(torch, dtype)).eval().requires_grad_(False)
    chosen = attention.choose(model, "cpu", dtype)
    return Opened(model, None, "135M shape", "cpu", dtype, chosen, 0, "id 0", Architecture.of(config))


def ours(opened: object, rows: object) -> object:
    """What every signal calls."""
    from thresher.models.loss import negative_log_likelihood, row_statistics

    return row_statistics(opened, rows, negative_log_likelihood)[0]


def logits_everywhere(opened: object, rows: object, batch: int) -> object:
    """The usual loop: pad to the longest of the batch, all logits, cross-entropy in float32 with a label mask."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    sums = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            some = [rows.row(i) for i in range(start, min(start + batch, len(rows)))]
            longest = max(len(ids) for ids, _ in some)
            ids = torch.zeros(len(some), longest, dtype=torch.int64)
            mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
            for at, (row, trained) in enumerate(some):
                ids[at, : len(row)], mask[at, : len(row)] = torch.from_numpy(row.astype(np.int64)), 1
                labels[at, : len(row)][torch.from_numpy(trained)] = ids[at, : len(row)][torch.from_numpy(trained)]
            logits = opened.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
            after = F.pad(labels[:, 1:], (0, 1), value=-100)  # shifted, so that the logits need no copy
            nll = F.cross_entropy(logits.flatten(0, 1), after.flatten(), reduction="none", ignore_index=-100)
            sums.extend(nll.view(len(some), -1).sum(1).tolist())
    return np.array(sums)


def peak(dtype: object) -> float:
    """FLOP/s of the best of the model's own matrix shapes, 2,048 tokens at once."""
    import torch

    best = 0.0
    for into, out in ((576, 960), (576, 3072), (1536, 576), (576, 8192)):
        x, weight = torch.randn(2048, into).to(dtype), torch.randn(out, into).to(dtype)
        with torch.inference_mode():
            for _ in range(6):
                start = time.perf_counter()
                torch.nn.functional.linear(x, weight)
                best = max(best, 2.0 * 2048 * into * out / (time.perf_counter() - start))
    return best


def show(
    args: argparse.Namespace, settled: object, rows: object, models: dict, seconds: dict, peaks: dict, losses: dict
) -> None:
    """The table, the bars, and how far the losses lie apart."""
    import numpy as np

    from thresher.compute import flops

    tokens, predicted = int(rows.lengths().sum()), int(rows.answer_tokens().sum())
    needed = flops.forward(models["float32"].architecture, tokens, float((rows.lengths() ** 2.0).sum()), predicted)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    top = {dtype: statistics.median(found) for dtype, found in peaks.items()}
    speed = {name: tokens / taken for name, taken in median.items()}
    share = {n: needed / t / top["bfloat16" if n.endswith("bf16") else "float32"] for n, t in median.items()}
    ratios = {"ours / file": speed["ours"] / speed["file"], "ours share of peak": share["ours"]}
    if "ours-bf16" in speed:
        ratios["ours-bf16 / single"] = speed["ours-bf16"] / speed["single"]
    apart = {name: float(np.max(np.abs(found / losses["single"] - 1))) for name, found in losses.items()}
    if args.json:
        found = {"tokens_per_second": speed, "share_of_peak": share, "peak": top, "ratios": ratios, "apart": apart}
        print(json.dumps(found))
        return
    print(f"{len(rows)} rows, {tokens:,} tokens, {predicted:,} predicted; {settled}; medians of {args.rounds}")
    print("matmul peak: " + ", ".join(f"{dtype} {value / 1e9:.0f} GFLOP/s" for dtype, value in top.items()))
    print(f"{'policy':<12}{'tokens/s':>10}{'share of peak':>16}{'largest relative change of a loss':>36}")
    for name in speed:
        print(f"{name:<12}{speed[name]:>10.0f}{share[name]:>16.1%}{apart[name]:>36.1e}")
    for name, value in ratios.items():
        print(f"{name}: {value:.2f} (bar {BARS[name]}: {'met' if value >= BARS[name] else 'MISSED'})")


if __name__ == "__main__":
    main()
