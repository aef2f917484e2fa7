"""What a proxy thinks of every row while it is trained on the pool: the raw material of loss trajectories."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32, Int

from thresher.compute import flops
from thresher.core.cost import Cost, Load, Receipt
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.errors import FieldError, PoolError
from thresher.models import load as models
from thresher.models.device import choose_device, choose_dtype
from thresher.signals import _points
from thresher.signals._reading import Reading
from thresher.signals._recorded_files import Files
from thresher.training.recipe import Lora, Recipe, cut_into_steps, step_flops

NUMBERS = ("loss", "probability", "confidence")


@dataclass(frozen=True, kw_only=True)
class Recording(Reading):
    """Three numbers of every row at points of a proxy's training on the pool; one file a point, no model is kept.

        loss         -1/|a_i| sum_u log p(a_iu | prompt_i, a_i<u)        of the proxy after step c, dropout off
        probability   1/|a_i| sum_u p(a_iu | ...)
        confidence    1/|a_i| sum_u max_v p(v | ...)

    `capture` says how: "passes" reads all rows at every point; "grid" reads them at every `one_in`-th, the first and
    the last, and draws straight lines between; "recorded" takes each row's numbers from the step in which it is
    trained on, one for each epoch, less the mean of the rows of that step: rows of an epoch are seen by different
    networks. That costs no pass at all.

    Source:  Yang et al. 2024 (S2L), arXiv:2403.07384: 3 epochs, batches of 128, 2e-5, cosine, 512 tokens.
    Differs: points end with the run, theirs are the last 12 of every 500 steps; the numbers come from the living
             training, not from checkpoints; models that start at random learn at 2e-3. "grid" and "recorded" are ours.
    Cost:    E_p T(N_s, D), and t F(N_s, D) in passes, one more with `include_start`.
    """

    max_tokens: Annotated[int, "rows are cut on the right to this length"] = 512
    capture: Annotated[Literal["passes", "grid", "recorded"], "how rows are read; see above"] = "passes"
    points: Annotated[int, "T: how many points"] = 12
    spacing: Annotated[_points.Spacing, "points even, apart by a factor, or every N steps"] = "even"
    every: Annotated[int, "N, where spacing is every"] = 500
    one_in: Annotated[int, "a pass at one in so many points, where capture is grid"] = 3
    stop: Annotated[float, "share of the run after which it is ended"] = 1.0
    include_start: Annotated[bool, "also read the untrained proxy"] = False
    with_target: Annotated[bool, "read the target's rows, too"] = False
    proxy_rows: Annotated[int, "train on so many rows, drawn uniformly, and read all; 0 trains on all"] = 0
    epochs: Annotated[float, "of the proxy's training"] = 3.0
    steps: Annotated[int | None, "optimiser steps, instead of epochs"] = None
    batch_size: Annotated[int, "rows per optimiser step"] = 128
    micro_batch: Annotated[int, "rows per forward pass"] = 16
    learning_rate: Annotated[float | None, "null: 2e-5, and 2e-3 for models that start at random"] = None
    schedule: Annotated[Literal["linear", "cosine", "constant"], "after the warm-up"] = "cosine"
    warmup: Annotated[float, "share of the steps"] = 0.03
    lora: Annotated[int, "rank of adapters; 0 is full training"] = 0
    seed: int = 0
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], "of the passes"] = "auto"

    kind: ClassVar[Kind] = "feature"
    work: ClassVar[str] = "forward"
    example: ClassVar[dict[str, Any]] = {"points": 3, "epochs": 1.0, "batch_size": 16, "micro_batch": 8}

    def __post_init__(self) -> None:
        """Fields that do not go together.

        Raises:
            FieldError: in-flight recording without a look at every row, or numbers out of range.
        """
        super().__post_init__()
        if self.capture == "recorded" and (self.proxy_rows or self.include_start or self.with_target):
            raise FieldError(
                "recording in flight sees rows only when they are trained on: it goes with no proxy_rows, "
                "include_start or with_target. Take capture = passes for those."
            )
        for name in ("points", "every", "one_in", "stop", "epochs", "batch_size", "micro_batch"):
            if not getattr(self, name) > 0:
                raise FieldError(f"recording.{name} must be above zero, not {getattr(self, name)!r}.")

    @property
    def needs_target(self) -> bool:  # type: ignore[override]
        """Only where its rows are read along."""
        return self.with_target

    def rate(self) -> float:
        """The learning rate that null comes to."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 2e-3 if models.about(self.model).get("random_start") else 2e-5

    def recipe(self) -> Recipe:
        """As the trainer takes it."""
        return Recipe(
            epochs=self.epochs, steps=self.steps, batch_size=self.batch_size,
            micro_batch=min(self.micro_batch, self.batch_size), learning_rate=self.rate(), schedule=self.schedule,
            warmup=self.warmup, max_tokens=self.max_tokens,
            lora=Lora(r=self.lora, alpha=4 * self.lora) if self.lora else None,
        )  # fmt: skip

    def trained_rows(self, n: int) -> int:
        """How many of n rows the proxy is trained on."""
        return min(n, self.proxy_rows) if self.proxy_rows else n

    def grid(self, n: int) -> _points.Grid:
        """The points for n rows; in flight, the end of each epoch.

        Raises:
            FieldError: more points than steps, or less than an epoch to record in flight.
        """
        rows = self.trained_rows(n)
        micro, accumulate, total = cut_into_steps(self.recipe(), rows)
        if self.capture != "recorded":
            return _points.grid(
                total, points=self.points, spacing=self.spacing, every=self.every, stop=self.stop,
                start=self.include_start, one_in=self.one_in if self.capture == "grid" else 1,
            )  # fmt: skip
        an_epoch = -(-rows // (micro * accumulate))
        if total < an_epoch or self.stop < 1:
            raise FieldError(
                f"recording in flight needs whole epochs: {total} steps of {micro * accumulate} rows do not see all "
                f"{rows:,} rows once. Train for epochs = 1 or more, and leave stop at 1."
            )
        return _points.Grid(total, tuple(an_epoch * (e + 1) for e in range(total // an_epoch)), ())

    def identity(self) -> dict[str, str]:
        """The weights, what null and "auto" come to here."""
        dtype = choose_dtype(self.dtype, choose_device("auto"), models.architecture(self.model))
        return super().identity() | {"dtype": dtype, "learning_rate": repr(self.rate())}

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Real tokens, and the columns."""
        return replace(
            super().sizes(pool, target if self.with_target else None), d=len(NUMBERS) * len(self.grid(len(pool)).steps)
        )

    def usable_target(self, target: Pool) -> np.ndarray | None:
        """(q,) rows with a loss, where they are read along."""
        return self.usable(target) if self.with_target else None

    def cost(self, load: Load) -> Cost:
        """Training as far as the last point, and the passes."""
        return Cost(flops=self.training_flops(load) + self.passes_flops(load))

    def training_flops(self, load: Load) -> float:
        """Of the proxy."""
        found, recipe, rows = self.grid(load.n), self.recipe(), self.trained_rows(load.n)
        share = rows / load.n
        epoch = step_flops(recipe, models.architecture(self.model), load.tokens * share, load.square * share)
        last = found.total if self.capture == "recorded" else found.steps[-1]
        passes = recipe.epochs if recipe.steps is None else recipe.steps * recipe.batch_size / rows
        return epoch * passes * last / found.total

    def passes_flops(self, load: Load) -> float:
        """Of reading pool and target."""
        tokens, square = load.tokens + load.target_tokens, load.square + load.target_square
        heads = load.answer_tokens + load.target_answer_tokens
        one = flops.forward(models.architecture(self.model), tokens, square, head_tokens=heads)
        return one * len(self.grid(load.n).read)

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> str:
        """Train and record what is not there yet; the recording's folder.

        Raises:
            PoolError: a row of the pool without a trainable token.
        """
        files = Files(folder)
        found = self.grid(len(pool))
        near = target if self.with_target else None
        usable = self.usable(pool)
        if not usable.all():
            raise PoolError(
                f"{pool.name} has rows without a trainable token in {self.max_tokens} tokens, first ids "
                f"{pool.take(np.flatnonzero(~usable)[:5]).ids()}. They have no loss: leave them out."
            )
        load = self.sizes(pool, near)
        about = {"estimated": {"train": self.training_flops(load), "read": self.passes_flops(load)}}
        files.claim(pool, {**self._about(found, near), **about})
        last = found.total if self.capture == "recorded" else found.read[-1]
        if not files.done(last):
            from thresher.signals._recorder import Recorder  # loads the Trainer

            Recorder(self, files, found, pool, near).run()
        return str(folder)

    def _about(self, found: _points.Grid, near: Pool | None) -> dict[str, Any]:
        return {
            "target": near.fingerprint if near is not None else None, "model": models.weights_hash(self.model),
            "numbers": NUMBERS, "of": "means over each row's trained tokens; loss in nats", "capture": self.capture,
            "total_steps": found.total, "steps": found.steps, "read": found.read, "recipe": self.recipe().to_dict(),
            "proxy_rows": self.proxy_rows, "seed": self.seed, "dtype": self.identity()["dtype"],
        }  # fmt: skip

    def order(self, pool: Pool) -> Int[np.ndarray, " n"]:
        """Rows the proxy is trained on, in an order drawn by their ids: another order of the file trains the same."""
        salt = f"{self.seed}/signals/recording/"
        sign = [hashlib.blake2b((salt + name).encode(), digest_size=8).digest() for name in pool.ids()]
        return np.argsort(np.array(sign, dtype="S8"), kind="stable")[: self.trained_rows(len(pool))]

    def stages(self, state: str) -> list[Receipt]:
        """Training and reading, each for itself."""
        return Files(Path(state)).receipts()

    def account(self, state: str) -> dict[str, Any]:
        """How it was recorded, and what each stage took."""
        files = Files(Path(state))
        about = {key: value for key, value in files.about().items() if key not in ("pool", "rows")}
        spent = {receipt.stage: receipt.flops for receipt in files.receipts()}
        return {**super().account(self.model), **about, "flops": spent}

    def measure(self, state: str, rows: Pool) -> Float32[np.ndarray, "b columns"]:
        """(b, 3 t) the losses of all points, then the probabilities, then the confidences."""
        files = Files(Path(state))
        about, place = files.about(), files.place(rows)
        if about["capture"] == "recorded":
            values = files.in_flight(place)  # (b, t, 3)
        else:
            read = np.array(about["read"])
            seen = np.stack([files.values(int(step), place) for step in read], axis=1)  # (b, read, 3)
            values = _points.between(read, np.array(about["steps"]), seen)
        return np.ascontiguousarray(values.transpose(0, 2, 1).reshape(len(place), -1), dtype=np.float32)
