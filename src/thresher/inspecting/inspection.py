"""A selection's folder, inspected: every measurement as a file in its folder `diagnostics`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from thresher import pipeline
from thresher.choosing import Choice
from thresher.compute import meter
from thresher.core.cost import Receipt
from thresher.core.method import Signal
from thresher.core.store import Store, write_bytes
from thresher.errors import PoolError
from thresher.inspecting import clusters as of_clusters
from thresher.inspecting import short_run, transport
from thresher.inspecting.agreement import adjusted_rand, curves_agree, length_confound
from thresher.inspecting.clusters import Clusters
from thresher.inspecting.cosines import at_checkpoint
from thresher.inspecting.reopening import Curves, answer_tokens, reopened, rows_of, trajectory_of
from thresher.selectors._kmeans import kmeans
from thresher.signals.embed import Embed
from thresher.signals.hashed_ngrams import HashedNgrams

Say = Callable[[str], None]
FOLDER = "diagnostics"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How much is measured.

    Attributes:
        rows: of the sample, drawn uniformly from the rows that have a cluster.
        steps: of the short run of the trained model; 0 leaves it out, and with it everything that needs it.
        gradients: how many of the sample's rows have their gradients read; None for all.
        checkpoints: at how many points of the short run.
        seed: of every draw.
    """

    rows: int = 512
    steps: int = 60
    gradients: int | None = None
    checkpoints: int = 3
    seed: int = 0


def inspect(folder: Path, wanted: Wanted, *, store: Store, pool: str | None = None, say: Say = lambda _: None) -> Path:
    """Measure, and leave clusters.json, curves.json, length.json, agreement.json and gradients.json.

    Of a choice by transport, leave transport.json.

    Nothing here is part of the selection's bill: each file has the receipt of its own work.

    Args:
        folder: of a selection by clusters, or by `got_d`.
        wanted: how much.
        store: where the selection's measurements rest; what is not there is measured again.
        pool: where the pool is now, if it has moved.
        say: is told what is being done.

    Returns:
        The folder of the files.

    Raises:
        StoreError: no selection's folder, or the pool or the choice are not those of its card.
        PoolError: the model is not named on the card, and its run is wanted.
    """  # noqa: DOC501
    choice = reopened(folder, store, pool)
    if transport.signal_of(choice) is not None:
        leave(folder / FOLDER, "transport.json", transport.measured(choice, folder, seed=wanted.seed))
        return folder / FOLDER
    if wanted.steps and choice.setting.model is None:
        raise PoolError(f"{folder} names no model to train for a while. Inspect it with --steps 0.")
    found = of_clusters.clusters_of(choice)
    out = folder / FOLDER
    say(f"{len(found.size)} clusters of {len(found.row):,} rows")
    _clusters(choice, found, out, wanted)
    curve = trajectory_of(choice)
    sample = np.sort(np.random.default_rng([wanted.seed, 0x736D]).permutation(len(found.row))[: wanted.rows])
    if curve is not None:
        values, steps = curve.values[np.searchsorted(choice.selection.kept, found.row)], curve.steps
        drawn = of_clusters.curves(found, values, steps, seed=wanted.seed)
        leave(out, "curves.json", drawn | {"relative": curve.proxy.capture == "recorded"})
        leave(out, "length.json", length_confound(values, answer_tokens(choice)[found.row]))
    if wanted.steps:
        say(f"a run of {wanted.steps} steps, {len(sample)} rows read along")
        _trained(choice, found, sample, curve, out, wanted)
    return out


def _clusters(choice: Choice, found: Clusters, out: Path, wanted: Wanted) -> None:
    pool = choice.setting.pool
    about = of_clusters.flow(found, pool, choice.index)
    about["gallery"] = of_clusters.gallery(found, pool, seed=wanted.seed)
    topic = pool.group_index()[found.row]
    if about["groups"]:
        with meter.block("inspect: clusters of an embedding", kind="cpu") as block:
            encoder = choice.setting.encoder
            signal: Signal = Embed(encoder=encoder) if encoder else HashedNgrams()
            rows = rows_of(choice)
            embedded = pipeline.measure(signal, rows, store=choice.setting.store).values
            place = np.searchsorted(choice.selection.kept, found.row)
            beside = kmeans(
                np.asarray(embedded)[place], len(found.size), iterations=found.selector.iterations,
                sample=found.selector.sample, seed=found.selector.kmeans_seed, start=found.selector.start,
            ).label  # fmt: skip
        about["purity"] = {
            "clustered": of_clusters.purity(found.label, topic).tolist(),
            "embedding": of_clusters.purity(beside, topic).tolist(),
            "embedding_is": encoder or "hashed n-grams",
            "sizes_embedding": np.unique(beside, return_counts=True)[1].tolist(),
            "adjusted_rand": adjusted_rand(found.label, beside),
        }
        about["receipts"] = [block.receipt().to_dict()]
    leave(out, "clusters.json", about)


def _trained(
    choice: Choice, found: Clusters, sample: Int[np.ndarray, " m"], curve: Curves | None, out: Path, wanted: Wanted
) -> None:
    setting = choice.setting
    assert setting.model is not None, "inspect() has looked"
    t = min(len(curve.steps), wanted.steps) if curve is not None else 1
    shares = np.array(curve.steps[len(curve.steps) - t :]) / curve.total if curve is not None else np.ones(1)
    points = np.maximum(np.floor(shares * wanted.steps + 0.5).astype(int), 1)
    for i in range(1, t):
        points[i] = max(points[i], points[i - 1] + 1)
    points = np.minimum(points, wanted.steps - np.arange(t - 1, -1, -1))
    at = np.unique(np.linspace(0, wanted.steps, wanted.checkpoints).round().astype(int))
    plan = short_run.Plan(
        model=setting.model, recipe=setting.recipe, steps=wanted.steps, points=tuple(int(p) for p in points),
        gradients_at=tuple(int(a) for a in at), seed=wanted.seed,
    )  # fmt: skip
    gradient_rows = len(sample) if wanted.gradients is None else wanted.gradients
    out.mkdir(parents=True, exist_ok=True)
    rows = found.row[sample]
    readings = short_run.run(plan, setting.pool, rows, gradient_rows=gradient_rows, folder=out)
    training, losses, *gradients = readings.receipts
    if curve is not None and t > 1:
        proxy = curve.values[np.searchsorted(choice.selection.kept, rows)][:, -t:]
        centred = curve.proxy.capture == "recorded"  # in flight: less the mean of the step
        target = readings.losses - readings.losses.mean(axis=0) if centred else readings.losses
        said = curves_agree(proxy, target, clusters=len(found.size), seed=found.selector.kmeans_seed)
        said |= {"proxy_steps": curve.steps[-t:], "target_steps": list(plan.points), "proxy_total": curve.total}
        leave(out, "agreement.json", said | {"receipts": _plain([training, losses])})
        leave_arrays(out, "agreement.npz", row=rows, proxy=proxy, target=target)
    if readings.gradients:
        label = np.unique(found.label[sample][:gradient_rows], return_inverse=True)[1]
        share = len(choice.index) / len(found.row)
        steps = [at_checkpoint(step, values, label, share, wanted.seed) for step, values in readings.gradients.items()]
        leave(out, "gradients.json", {
            "rows": len(label), "projected_to": plan.d, "checkpoints": steps,
            "receipts": _plain(gradients if curve is not None and t > 1 else [training, losses, *gradients]),
        })  # fmt: skip


def _plain(receipts: list[Receipt]) -> list[dict[str, object]]:
    return [receipt.to_dict() for receipt in receipts]


def leave(out: Path, name: str, values: dict[str, Any]) -> None:
    """One file, whole or not at all."""
    write_bytes(out / name, json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode())


def leave_arrays(out: Path, name: str, **arrays: np.ndarray) -> None:
    """The same for arrays."""
    held = io.BytesIO()
    np.savez_compressed(held, **arrays)  # type: ignore[arg-type]
    write_bytes(out / name, held.getvalue())
