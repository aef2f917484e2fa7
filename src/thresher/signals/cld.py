"""Whether a row's loss falls when the target's does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Float32

from thresher.compute import flops, meter
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind
from thresher.core.pool import Pool
from thresher.errors import FieldError
from thresher.signals._points import between
from thresher.signals._recorded import Recorded, numbers
from thresher.signals._recorded_files import Files

FLAT = 1e-8  # standard deviation of the differences of a row that does not move


@dataclass(frozen=True)
class Course:
    """The target's side."""

    folder: str
    delta: Float[np.ndarray, "groups t"]  # mean loss differences of each target group


@dataclass(frozen=True, kw_only=True)
class CLD(Recorded):
    """Correlation of a row's loss differences with those of each target group, along one proxy's run.

        delta_i = (loss_i(theta_1) - loss_i(theta_0), ..., loss_i(theta_t) - loss_i(theta_t-1))
        affinity_iM = Pearson(delta_i, mean of delta_z over the target rows of group M)

    Source:  Nagaraj et al. 2025, arXiv:2508.20230, where the groups are classes of images.
    Differs: groups of the target share the budget evenly, not by their size. A row that does not move has affinity 0.
             Shown for image classification, not yet for fine-tuning on text.
    Cost:    the products, on top of a recording with the untrained proxy and the target's rows.
    """

    kind: ClassVar[Kind] = "affinity"
    per_group: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {
        "recording": {**Recorded.example["recording"], "include_start": True, "with_target": True}
    }

    def __post_init__(self) -> None:
        """The target must be recorded along.

        Raises:
            FieldError: it is not, or there are fewer than three differences.
        """
        super().__post_init__()
        if not self.run.with_target:
            raise FieldError("cld compares rows with the target's: set recording.with_target = true.")
        if self.run.spacing != "every" and self.run.points + self.run.include_start < 4:
            raise FieldError(f"cld needs three differences of losses or more: {self.run.points} points are too few.")

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Rows, groups and differences."""
        assert target is not None, "needs_target says so"
        return replace(super().sizes(pool, target), k=len(np.unique(target.group_index())))

    def cost(self, load: Load) -> Cost:
        """All products."""
        return Cost(flops=flops.inner(load.n, load.k, load.d - 1))

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Course:  # type: ignore[override]
        """The target's mean differences."""
        assert target is not None, "needs_target says so"
        state = super().prepare(pool, target, folder)
        about = Files(folder).about()
        read = np.array(about["read"])
        loss = between(read, np.array(about["steps"]), Files(folder).target(about["read"]))[..., 0]  # (q, t)
        group = target.group_index()
        delta = np.diff(loss.astype(np.float64), axis=1)
        return Course(state, np.stack([delta[group == g].mean(axis=0) for g in np.unique(group)]))

    def account(self, state: Course) -> dict[str, Any]:  # type: ignore[override]
        """The recording's, and how many rows do not move."""
        files = Files(Path(state.folder))
        about = files.about()
        loss = np.stack([files.values(int(step), np.arange(about["rows"]))[:, 0] for step in about["read"]], axis=1)
        still = int((np.diff(loss.astype(np.float64), axis=1).std(axis=1) < FLAT).sum())
        return {**super().account(state.folder), "rows_that_do_not_move": still}

    def measure(self, state: Course, rows: Pool) -> Float32[np.ndarray, "b groups"]:  # type: ignore[override]
        """From the recording's folder."""
        return self.measure_over(state, rows, self.run.measure(state.folder, rows))

    def measure_over(  # type: ignore[override]
        self, state: Course, rows: Pool, values: np.ndarray
    ) -> Float32[np.ndarray, "b groups"]:
        """(b, groups) correlations."""
        delta = np.diff(numbers(values, "loss").astype(np.float64), axis=1)
        meter.count(flops=flops.inner(len(delta), len(state.delta), delta.shape[1]))
        return (standardised(delta) @ standardised(state.delta).T / delta.shape[1]).astype(np.float32)


def standardised(delta: Float[np.ndarray, "b t"]) -> Float[np.ndarray, "b t"]:
    """Rows of mean 0 and deviation 1; zeros where a row does not move."""
    deviation = delta.std(axis=1, keepdims=True)
    return np.where(deviation < FLAT, 0.0, (delta - delta.mean(axis=1, keepdims=True)) / np.maximum(deviation, FLAT))
