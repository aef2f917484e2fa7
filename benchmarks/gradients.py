"""Per-row LoRA gradients on a Llama shape of width 576, and random projections, against the paper's way on a CPU.

    python benchmarks/gradients.py [--rank 8 64] [--rounds 3] [--threads 2] [--clock wall] [--only gradient path]

Policies take turns round after round in one process, and medians of the rounds' ratios are compared, so that whoever
else uses the cores slows all of them; where they are many, `--clock cpu --threads 1` counts this process's own seconds.

    gradient     loop: one row at a time, autograd, all logits (LESS)      plain: the batch's summed gradient
                 ours: every row's own, the same batch, the same logits at answer positions only
    projection   traker's BasicProjector (LESS without a CUDA card) against ours, from p = 1M to d numbers
    path         rows to affinities: gradient, Adam shape, projection, unit length, product with 32 target rows
    memory       the estimate before the start and the measured peak of a pass over rows

traker's time is in proportion to d, 128 columns after one another; `--columns` of them are timed and scaled up to d,
which spares minutes (`--columns 8192` times all). In `path` it gets 16
rows at a time, as in LESS; in `projection` all at once, which is kinder.

Bars: ours / plain <= 1.25 in time; loop / ours >= 1.5 at 32 tokens; path >= 10; sjlt >= 40 and rademacher >= 8 times
traker; rms error of inner products <= 1.1 / sqrt(d); peak of a projection < 64 MB above its input.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

from thresher.compute.process import settle

ARGS = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
ARGS.add_argument("--rank", type=int, nargs="*", default=[8, 64])
ARGS.add_argument("--rounds", type=int, default=3)
ARGS.add_argument("--threads", type=int, default=2)
ARGS.add_argument("--rows", type=int, default=16)
ARGS.add_argument("--layers", type=int, default=6)
ARGS.add_argument("--columns", type=int, default=128)
ARGS.add_argument("--clock", choices=["wall", "cpu"], default="wall")
ARGS.add_argument("--only", nargs="*", default=["gradient", "projection", "path", "memory"])
TARGET_ROWS = 32
PATH_D = 8192
clock = time.perf_counter
SMALL = (1_000_000, 1024, 64)  # p, d, rows of the projection table


def main() -> None:
    """Measure, print."""
    args = ARGS.parse_args()
    settled = settle(threads=args.threads)

    import torch

    torch.set_num_threads(args.threads)
    if args.clock == "cpu":
        global clock
        clock = time.process_time
    print(f"{settled}; {args.clock} seconds, medians of {args.rounds} rounds")
    for rank in args.rank:
        network = adapted(args.layers, rank)
        if "gradient" in args.only:
            gradients(network, rank, args)
        if "path" in args.only:
            path(network, rank, args)
        if "memory" in args.only:
            footprint(network, rank, args)
    if "projection" in args.only:
        projections(args)


def adapted(layers: int, rank: int) -> object:
    """SmolLM2-135M's width on a few layers, random, with adapters that are not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=576, intermediate_size=1536, num_hidden_layers=layers, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=2048,
    )  # fmt: skip
    lora = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    network = get_peft_model(LlamaForCausalLM(config).requires_grad_(False), lora).eval()
    for name, parameter in network.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.02)
    return network


def rows(n: int, tokens: int) -> object:
    """n rows of so many tokens, the second half of each an answer."""
    import numpy as np

    from thresher.data.chat import join

    rng = np.random.default_rng(0)
    trained = [np.arange(tokens) >= tokens // 2] * n
    return join([rng.integers(0, 8192, tokens) for _ in range(n)], trained, np.zeros(n, np.int64), "none")


def one_by_one(network: object, encoded: object) -> object:
    """(n, p): a forward and a backward pass for each row, as transformers' users write it."""
    import numpy as np
    import torch

    from thresher.models.gradient import trainable

    chosen = [parameter for _, parameter in trainable(network)]
    found = []
    for i in range(len(encoded)):
        ids, trained = (torch.from_numpy(part) for part in encoded.row(i))
        ids = ids.long()[None]
        network(input_ids=ids, labels=ids.masked_fill(~trained[None], -100), use_cache=False).loss.backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in chosen]))
        network.zero_grad()
    assert np.isfinite(len(found))
    return torch.stack(found)


def summed(network: object, encoded: object) -> object:
    """(p,): autograd's gradient of the whole batch's summed loss, logits as ours."""
    import numpy as np
    import torch

    from thresher.models.backward import through_the_head
    from thresher.models.batching import padded
    from thresher.models.gradient import trainable
    from thresher.models.head import head_of

    inner, everything = network.get_base_model(), np.arange(len(encoded))
    ids = torch.from_numpy(padded(encoded.ids, encoded.starts, everything, 0))
    hidden = inner.base_model(input_ids=ids, use_cache=False).last_hidden_state
    back, _ = through_the_head(head_of(inner), hidden.detach(), ids, encoded, everything)
    hidden.backward(back)
    found = torch.cat([parameter.grad.flatten() for _, parameter in trainable(network)])
    network.zero_grad()
    return found


def gradients(network: object, rank: int, args: argparse.Namespace) -> None:
    """Seconds of the three ways, and whether they agree."""
    from thresher.models import gradient

    print(f"\ngradients, rank {rank}, p = {gradient.parameters(network):,}, {args.rows} rows")
    print(f"{'tokens':>7}{'loop s':>9}{'plain s':>9}{'ours s':>9}{'ours/plain':>12}{'loop/ours':>11}{'apart':>9}")
    for tokens in (32, 128):
        encoded = rows(args.rows, tokens)
        ways: dict[str, Callable[[], object]] = {
            "loop": lambda e=encoded: one_by_one(network, e),
            "plain": lambda e=encoded: summed(network, e),
            "ours": lambda e=encoded: next(gradient.each(network, e, token_budget=10**9))[1],
        }
        times, found = in_turn(ways, args.rounds + 1)
        apart = float(((found["ours"] - found["loop"]).norm(dim=1) / found["loop"].norm(dim=1)).max())
        total = float((found["ours"].sum(0) - found["plain"]).norm() / found["plain"].norm())
        cost, win = ratio(times, "ours", "plain"), ratio(times, "loop", "ours")
        middle = [statistics.median(times[name]) for name in ways]
        bar = "" if tokens != 32 else f"   bars {said(cost <= 1.25)}, {said(win >= 1.5)}"
        bar = bar or f"   bar {said(cost <= 1.25)}"
        print(f"{tokens:>7}" + "".join(f"{s:>9.3f}" for s in middle) + f"{cost:>12.2f}{win:>11.2f}{apart:>9.0e}{bar}")
        assert total < 1e-4, f"the rows' gradients do not sum up to the batch's: {total}"


def traker(p: int, d: int, columns: int, g: object) -> float:
    """Seconds for all rows of g, 16 at a time, scaled from `columns` of d."""
    import torch
    from trak.projectors import BasicProjector, ProjectionType

    columns = min(columns, d)
    projector = BasicProjector(p, columns, seed=0, proj_type=ProjectionType.rademacher, device="cpu", block_size=128)
    some = g[:16]
    start = clock()
    projector.project(some, model_id=0)
    taken = clock() - start
    assert isinstance(some, torch.Tensor)
    return taken * d / columns


def projections(args: argparse.Namespace) -> None:
    """Seconds, error, memory of every kind."""
    import torch

    from thresher.models.projection import make

    p, d, n = SMALL
    print(f"\nprojection, p = {p:,}, d = {d:,}; {n} rows, all of them at once for traker too")
    g = torch.randn(n, p)
    g += torch.randn(p) * 0.5
    kinds = {kind: make(kind, p, d, 1) for kind in ("rademacher", "srht", "sjlt")}
    ways: dict[str, Callable[[], object]] = {kind: (lambda q=q: q(g)) for kind, q in kinds.items()}
    scaled = max(1.0, d / min(args.columns, d))
    ways["traker"] = lambda: whole_traker(p, min(args.columns, d), g)
    times, found = in_turn(ways, args.rounds + 1)
    times["traker"] = [s * scaled for s in times["traker"]]
    bars = {"rademacher": 8.0, "sjlt": 40.0}
    print(f"{'kind':<12}{'seconds':>9}{'x traker':>10}{'rms error':>11}{'x 1/sqrt(d)':>13}{'peak MB':>9}")
    for kind in ways:
        y, k = (found[kind], d) if kind != "traker" else (found[kind] / args.columns**0.5, min(args.columns, d))
        error = distortion(g, y)
        peak = peak_of(ways[kind]) / 2**20 if kind != "traker" else float("nan")
        win = ratio(times, "traker", kind)
        bar = "" if kind not in bars else f"   bar {said(win >= bars[kind] and error <= 1.1 / k**0.5 and peak < 64)}"
        middle = statistics.median(times[kind])
        print(f"{kind:<12}{middle:>9.3f}{win:>10.1f}{error:>11.4f}{error * k**0.5:>13.3f}{peak:>9.1f}{bar}")


def whole_traker(p: int, columns: int, g: object) -> object:
    """(n, columns), all rows in one call: the kindest use of it."""
    from trak.projectors import BasicProjector, ProjectionType

    projector = BasicProjector(p, columns, seed=0, proj_type=ProjectionType.rademacher, device="cpu", block_size=128)
    return projector.project(g, model_id=0)


def distortion(g: object, y: object) -> float:
    """Root mean square error of inner products of different unit rows."""
    import torch

    unit = g / g.norm(dim=1, keepdim=True)
    low = y / g.norm(dim=1, keepdim=True)
    apart = ~torch.eye(len(g), dtype=torch.bool)
    return float(((low @ low.T - unit @ unit.T)[apart] ** 2).mean() ** 0.5)


def peak_of(work: Callable[[], object]) -> float:
    """Bytes above what is held now; freed memory that the process kept goes back first."""
    import ctypes
    import sys

    from thresher.compute import memory

    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).malloc_trim(0)
    memory.reset_peak()
    before = memory.peak_bytes()
    work()
    return memory.peak_bytes() - before


def path(network: object, rank: int, args: argparse.Namespace) -> None:
    """Rows a second from tokens to affinities."""
    import torch

    from thresher.models import gradient
    from thresher.models.projection import make

    p = gradient.parameters(network)
    encoded, seed = rows(args.rows, 32), torch.Generator().manual_seed(0)
    m, v = torch.randn(p, generator=seed) * 1e-3, torch.rand(p, generator=seed) * 1e-6
    target = torch.nn.functional.normalize(torch.randn(TARGET_ROWS, PATH_D, generator=seed), dim=1)
    projection = make("sjlt", p, PATH_D, 0)

    def ours(network: object = network) -> torch.Tensor:
        scored = torch.empty(len(encoded), TARGET_ROWS)
        for some, g in gradient.each(network, encoded):
            scored[some] = torch.nn.functional.normalize(projection(shaped(g, m, v)), dim=1) @ target.T
        return scored

    halved = copy.deepcopy(network).bfloat16()

    extra: list[float] = []

    def theirs() -> torch.Tensor:
        g = shaped(one_by_one(network, encoded), m, v)
        extra.append(sum(traker(p, PATH_D, args.columns, g[i : i + 16]) for i in range(0, len(g), 16)))
        return g

    ways = {"theirs": theirs, "ours": ours, "ours, bf16": lambda: ours(halved)}
    times, found = in_turn(ways, args.rounds + 1)
    scale = PATH_D / min(args.columns, PATH_D)
    counted = extra[-len(times["theirs"]) :]  # the first round warms up
    times["theirs"] = [s + e * (1 - 1 / scale) for s, e in zip(times["theirs"], counted, strict=True)]
    speed = {name: len(encoded) / statistics.median(seconds) for name, seconds in times.items()}
    print(f"\npath, rank {rank}, p = {p:,} -> d = {PATH_D}, rows of 32 tokens, {TARGET_ROWS} target rows")
    for name in ("ours", "ours, bf16"):
        win = ratio(times, "theirs", name)
        alike = float(torch.corrcoef(torch.stack([found["ours"].flatten(), found[name].flatten()]))[0, 1])
        print(f"theirs {speed['theirs']:.2f} rows/s, {name} {speed[name]:.1f} rows/s: x {win:.1f}   "
              f"bar {said(win >= 10)}; affinities' correlation with float32 {alike:.5f}")  # fmt: skip


def shaped(g: object, m: object, v: object) -> object:
    """LESS' Adam shape, in the gradients' own memory."""
    second = v * 0.999 + 0.001 * g * g
    return g.mul_(0.1).add_(m, alpha=0.9).div_(second.add_(1e-8).sqrt_())


def footprint(network: object, rank: int, args: argparse.Namespace) -> None:
    """Estimated and measured bytes of a pass; weights are there before, so both are without them."""
    from thresher.models import gradient

    encoded = rows(2 * args.rows, 128)
    used = {"token_budget": 2048}
    known = gradient.Footprint.of(network, gradient.match_layers(network, "lora_"))
    estimated = gradient.memory_estimate(network, encoded, **used) - known.weights
    measured = peak_of(lambda: [None for _ in gradient.each(network, encoded, **used)])
    print(f"\nmemory, rank {rank}: estimated {estimated / 2**20:.0f} MB, measured {measured / 2**20:.0f} MB, "
          f"ratio {estimated / measured:.2f}")  # fmt: skip


def in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, list[float]], dict[str, object]]:
    """Seconds of every way in every round but the first, and what each gave last."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, object] = {}
    for _ in range(rounds):
        for name, work in ways.items():
            start = clock()
            found[name] = work()
            times[name].append(clock() - start)
    return {name: seconds[1:] or seconds for name, seconds in times.items()}, found


def ratio(times: dict[str, list[float]], above: str, below: str) -> float:
    """Median over rounds of one way's time by another's."""
    return statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))


def said(met: bool) -> str:
    """For the table."""
    return "met" if met else "MISSED"


if __name__ == "__main__":
    main()
