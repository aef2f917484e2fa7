"""A short training run on a share of the pool, with its optimiser's moments kept: what LESS and GIST rest on."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int

from thresher.compute import flops, meter
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.errors import FieldError, PoolError
from thresher.models import load as models
from thresher.signals._checkpoints import Run
from thresher.signals._tuned_model import TunedReader
from thresher.signals.similarity import signed
from thresher.training.recipe import Lora, Recipe, step_flops

ROLES = ("query", "key", "value", "qkv", "out")  # of attention's matrices, whatever a family calls them


@dataclass(frozen=True, kw_only=True)
class Warmup(TunedReader):
    """Adapters trained on a share of the pool; 1 for the rows that were trained on, 0 for the others.

        label_i = 1 where i is among the first share * n rows in an order drawn by id

    Kept after each epoch, by the parameters' names: adapters, first and second moments of the optimiser, and the
    mean learning rate of the epoch's steps.

    Source:  Xia et al. 2024, "LESS", arXiv:2402.04333, section 4.1: 5% of the pool, 4 epochs, rank 128, alpha 512,
             dropout 0.1 on attention's matrices, 2e-5 falling linearly after 3% of the steps, 128 rows a step.
    Differs: moments are saved beside the names of their parameters; the authors' code looks them up by name in a file
             that numbers them. Attention's matrices are found by what they do, so that GPT-2 and GPT-NeoX have theirs.
    Cost:    w E_w T_lora(N_s, D); a random start's own training is billed as its own signal.
    """

    share: Annotated[float, "of the pool"] = 0.05
    epochs: Annotated[int, "passes over the share; a checkpoint is kept after each"] = 4
    lora: Annotated[int, "rank of the adapters"] = 128
    alpha: Annotated[int, "their scale, times 1/rank"] = 512
    dropout: Annotated[float, "on the adapters' inputs while they are trained"] = 0.1
    learning_rate: Annotated[float, "peak"] = 2e-5
    batch_size: Annotated[int, "rows per optimiser step"] = 128
    micro_batch: Annotated[int, "rows per forward pass"] = 8
    seed: int = 0
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], "of the gradients' passes"] = "float32"
    run: Annotated[str, "a run made before: the folder `epochs-...` that a warm-up left; empty makes one"] = ""

    kind: ClassVar[Kind] = "label"

    def __post_init__(self) -> None:
        """There must be a model, adapters and something to train on.

        Raises:
            FieldError: a number that no run can have.
        """
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise FieldError(f"warmup.share is a part of the pool, above 0 and at most 1, not {self.share!r}.")
        for name in ("epochs", "lora", "batch_size", "micro_batch"):
            if getattr(self, name) < 1:
                raise FieldError(f"warmup.{name} must be at least 1, not {getattr(self, name)!r}.")

    def identity(self) -> dict[str, str]:
        """The weights, and what a given run holds."""
        return super().identity() | {"run": Run.sign(self.run) if self.run else "", "micro_batch": ""}

    def targets(self) -> tuple[str, ...]:
        """Attention's matrices, by this family's names."""
        return tuple(m.name for m in models.architecture(self.model).matrices if m.role in ROLES)

    def checkpoints(self) -> int:
        """t: how many there are in the end."""
        return len(Run.read(Path(self.run)).rates) if self.run else self.epochs

    def parameters(self) -> int:
        """p: numbers in the adapters."""
        own = Run.read(Path(self.run)).lora if self.run else {"r": self.lora, "targets": self.targets()}
        return flops.lora_params(models.architecture(self.model), own["r"], own["targets"])

    def recipe(self) -> Recipe:
        """As the trainer takes it."""
        return Recipe(
            epochs=float(self.epochs), batch_size=self.batch_size, micro_batch=min(self.micro_batch, self.batch_size),
            learning_rate=self.learning_rate, max_tokens=self.max_tokens,
            lora=Lora(r=self.lora, alpha=self.alpha, dropout=self.dropout, targets=self.targets()),
        )  # fmt: skip

    def cost(self, load: Load) -> Cost:
        """The drawn share's mean tokens, every epoch."""
        if self.run:
            return Cost()
        arch, part = models.architecture(self.model), int(self.share * load.n) / max(load.n, 1)
        once = step_flops(self.recipe(), arch, load.tokens * part, load.square * part)
        return Cost(flops=self.epochs * once)

    def gradient_flops(self, tokens: int | float, square: float, answer_tokens: int | float) -> float:
        """G(N_s, D): every row's own gradient at one checkpoint, logits where they are needed.

        2 x frozen matrices + 3 x adapters + 3 x attention
        """
        arch = models.architecture(self.model)
        matrices = 2.0 * flops.forward(arch, tokens, 0.0, answer_tokens)
        return float(matrices + 6.0 * self.parameters() * tokens + 3.0 * flops.forward(arch, 0.0, square, 0.0))

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Run:  # type: ignore[override]
        """The run: made here, gone on with, or read; what it cost is on the meter in any case."""
        if not self.run and Run.done(self._home(folder)):
            meter.count(flops=Run.read(self._home(folder)).flops)
        return self.opened(pool, target, folder)

    def opened(self, pool: Pool, target: Pool | None, folder: Path) -> Run:
        """The run that `prepare` left in `folder`, or a new one.

        Raises:
            PoolError: the share is less than one row.
            ModelError: a given run was made on another model.
        """  # noqa: DOC502
        base = super().prepare(pool, target, folder)
        if self.run:
            return Run.read(Path(self.run)).on(base)
        drawn, home = self._drawn(pool), self._home(folder)
        if Run.done(home):
            return Run.read(home).on(base)
        from thresher.signals._keeping import run_and_keep  # loads the Trainer

        return run_and_keep(base, pool.take(drawn), self.recipe(), seed=self.seed, epochs=home)

    def _home(self, folder: Path) -> Path:
        """Of the checkpoints; several runs may rest on one scorer."""
        return folder / f"epochs-{hashlib.sha256(signed(self).encode()).hexdigest()[:12]}"

    def account(self, state: Run) -> dict[str, Any]:  # type: ignore[override]
        """What the run was."""
        return {**super().account(state.base), "warmup": state.about()}

    def measure(self, state: Run, rows: Pool) -> Int[np.ndarray, " b"]:
        """(b,) whether a row was trained on."""
        return np.isin(rows.ids(), list(state.rows)).astype(np.int64)

    def measure_over(  # type: ignore[override]
        self, state: Run, rows: Pool, values: np.ndarray
    ) -> Int[np.ndarray, " b"]:
        """The same: what the scorer was trained on before does not matter."""
        return self.measure(state, rows)

    def _drawn(self, pool: Pool) -> np.ndarray:
        """Rows in an order drawn by their ids: another order of the file draws and trains the same.

        Raises:
            PoolError: less than one row.
        """
        k = int(self.share * len(pool))
        if k < 1:
            raise PoolError(
                f"a warm-up on {self.share:g} of {len(pool)} rows is less than one step: set share to at least "
                f"{math.ceil(1e4 / max(len(pool), 1)) / 1e4:g} (a whole step is {self.batch_size} rows)."
            )
        salt = f"{self.seed}/signals/warmup/"
        sign = [hashlib.blake2b((salt + name).encode(), digest_size=8).digest() for name in pool.ids()]
        return np.argsort(np.array(sign, dtype="S8"), kind="stable")[:k]
