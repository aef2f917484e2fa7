"""What a choice by optimal transport rests on: does epsilon matter, and where does the mixture go?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float, Int
from scipy.stats import spearmanr

from thresher import pipeline
from thresher.choosing import Choice
from thresher.compute import meter
from thresher.inspecting.reopening import rows_of
from thresher.signals._sweeps import Source
from thresher.signals._transport import Settings, Solution, score, solve
from thresher.signals.got_d import GotD

LAMBDAS = (0.0, 0.02, 0.1, 0.3, 0.6, 1.0)
NEAREST = 0.01  # share of the pool that counts as near a target row
FIT, MIXED, TARGETS = 20_000, 2000, 1000  # rows of samples


@dataclass(frozen=True)
class Space:
    """Pool and target in the feature that the transport moved."""

    values: np.ndarray  # (n, d)
    near: np.ndarray  # (q, d)
    settings: Settings
    highest: bool  # whether the choice moved away from the target


def signal_of(choice: Choice) -> GotD | None:
    """The transport signal, where a choice has one."""
    return next((signal for signal in choice.signals if isinstance(signal, GotD)), None)


def measured(choice: Choice, folder: Path, *, seed: int) -> dict[str, Any]:
    """What goes to transport.json: error by pass, other epsilons, mixtures, coverage.

    Args:
        choice: made with `got_d`.
        folder: of the selection; others beside it, of the same pool, budget and seed, are compared.
        seed: of samples and halves.
    """
    signal = signal_of(choice)
    assert signal is not None, "the caller has looked"
    with meter.block("inspect: transport", kind="cpu") as block:
        space = _space(choice, signal)
        rng = np.random.default_rng([seed, 0x74726E])
        place = np.searchsorted(choice.selection.kept, choice.index)
        beside = _beside(folder, choice)
        compared = {"chosen": place, "random": rng.permutation(len(space.values))[: len(place)]}
        said = {
            "trace": choice.selection.accounts["got_d"]["trace"],
            "tolerance": choice.selection.accounts["got_d"]["tolerance"],
            "epsilon": sensitivity(space, place, rng),
            "mixture": mixtures(space, len(place), beside, rng),
            "coverage": {name: coverage(space, rows) for name, rows in (compared | beside).items()},
        }
    return said | {"chosen": len(place), "receipts": [block.receipt().to_dict()]}


def _space(choice: Choice, signal: GotD) -> Space:
    store, rows, target = choice.setting.store, rows_of(choice), choice.selection.target
    assert target is not None, "got_d has a target"
    found = pipeline.measure(signal.of, rows, target, store=store)
    near = signal.of.measure(signal.of.prepare(rows, target, store.own(found.bottom)), target)
    settings = replace(signal.settings(), rho=None)
    return Space(found.values, near, settings, bool(getattr(choice.selector, "highest", False)))


def sensitivity(space: Space, place: Int[np.ndarray, " k"], rng: np.random.Generator) -> list[dict[str, float]]:
    """Solved again at half and at twice epsilon: how much of the best k stays, and how the whole order agrees."""
    fit = np.sort(rng.permutation(len(space.values))[:FIT])
    k, base, found = len(place), None, []
    for factor in (1.0, 0.5, 2.0):
        settings = replace(space.settings, epsilon=factor * space.settings.epsilon)
        solution = solve(Source(space.values, fit), space.near, settings=settings)
        g = _score(space, solution)
        top = set(np.argsort(-g if space.highest else g, kind="stable")[:k].tolist())
        base = (g, top) if base is None else base
        found.append({
            "factor": factor, "overlap": len(top & base[1]) / k, "spearman": float(spearmanr(g, base[0]).statistic),
            "sweeps": solution.sweeps, "converged": solution.converged,
        })  # fmt: skip
    return found


def mixtures(
    space: Space, k: int, beside: Mapping[str, Int[np.ndarray, " m"]], rng: np.random.Generator
) -> dict[str, Any]:
    """Transport cost of lambda U + (1 - lambda) pool to a held-out half of the target, over that of the pool alone.

    Transport, nearest rows and rows in turn choose by the other half; choices made before saw both halves, and are
    listed under `saw_both`.
    """
    order = rng.permutation(len(space.near))[: 2 * TARGETS]
    half = max(1, len(order) // 2)
    seen, held_out = space.near[order[:half]], space.near[order[half:] if len(order) > 1 else order]
    stays = rng.permutation(len(space.values))[:MIXED]
    fit = np.sort(rng.permutation(len(space.values))[:FIT])
    g = _score(space, solve(Source(space.values, fit), seen, settings=space.settings))
    closeness = _closeness(space.values, seen)
    chosen = {
        "got-d": np.argsort(g, kind="stable")[:k],
        "nearest": np.argsort(-closeness.max(1), kind="stable")[:k],
        "in turn": _in_turn(closeness, k),
        "random": rng.permutation(len(space.values))[:k],
    }
    unit = solve(Source(space.values, stays), held_out, settings=space.settings)
    fixed = replace(space.settings, epsilon=unit.how.epsilon, relative=False)

    def curve(rows: Int[np.ndarray, " m"]) -> list[float]:
        rows = rng.permutation(rows)[:MIXED]
        both = np.concatenate([rows, stays])
        out = []
        for share in LAMBDAS:
            own, rest = np.full(len(rows), share / len(rows)), np.full(len(stays), (1 - share) / len(stays))
            mass = np.concatenate([own, rest])
            some = mass > 0
            found = solve(Source(space.values, both[some], mass[some]), held_out, settings=fixed)
            out.append(found.distance / unit.distance)
        return out

    return {
        "lambda": list(LAMBDAS), "held_out": len(held_out), "distance": unit.distance,
        "methods": {name: curve(rows) for name, rows in chosen.items()},
        "saw_both": {name: curve(rows) for name, rows in beside.items()},
    }  # fmt: skip


def coverage(space: Space, place: Int[np.ndarray, " k"]) -> float:
    """Share of target rows that have a chosen row among the hundredth of the pool that is nearest to them."""
    near = space.near[:TARGETS]
    closeness = _closeness(space.values, near)  # (n, q)
    rank = (closeness > closeness[place].max(axis=0)).sum(axis=0)  # (q,) rows closer than the closest chosen one
    return float((rank < max(1, NEAREST * len(space.values))).mean())


def _closeness(values: np.ndarray, near: np.ndarray) -> Float[np.ndarray, "n q"]:
    """Minus half the squared distance."""
    x, z = np.asarray(values, np.float32), np.asarray(near, np.float32)
    return x @ z.T - 0.5 * (x**2).sum(1)[:, None] - 0.5 * (z**2).sum(1)


def _in_turn(closeness: Float[np.ndarray, "n q"], k: int) -> Int[np.ndarray, " k"]:
    """Every target's nearest row, then every target's second, each row once."""
    depth = min(len(closeness), -(-k // closeness.shape[1]) * 4 + 1)
    ranks = np.argsort(-closeness, axis=0, kind="stable")[:depth].ravel()
    first = np.sort(np.unique(ranks, return_index=True)[1])
    return ranks[first][:k]


def _score(space: Space, solution: Solution) -> Float[np.ndarray, " n"]:
    parts = range(0, len(space.values), 8192)
    return np.concatenate([score(np.asarray(space.values[at : at + 8192]), solution) for at in parts])


def _beside(folder: Path, choice: Choice) -> dict[str, Int[np.ndarray, " m"]]:
    """Places of the rows that other selections beside this one chose, from the same pool and budget."""
    found = {}
    kept = choice.selection.kept
    for path in sorted(folder.resolve().parent.glob("*/card.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        same = (card["pool"]["fingerprint"], card["budget"]["asked"], card["seed"])
        ours = (choice.setting.pool.fingerprint, choice.budget_text, choice.seed)
        if path.parent == folder.resolve() or same != ours:
            continue
        table = pq.read_table(path.parent / "scores.parquet", columns=["row", "chosen"])
        rows = np.asarray(table.filter(pc.field("chosen"))["row"].to_numpy())
        place = np.searchsorted(kept, rows)
        inside = (place < len(kept)) & (kept[np.minimum(place, len(kept) - 1)] == rows)
        if inside.any():
            found[str(card["method"])] = place[inside]
    return found
