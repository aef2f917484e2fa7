"""One pass over the source rows: what each target row receives under given potentials. Nothing else is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from thresher.compute import flops, meter
from thresher.core.potential import Sums
from thresher.errors import NonFinite

Ground = Literal["sqeuclidean", "cosine"]
Precision = Literal["float32", "bfloat16", "float64"]
GROWTH = 30.0  # scalings of a kept kernel may reach exp(30); entries lost to underflow are then below exp(-57) of a row


@dataclass(frozen=True)
class Source:
    """Rows with a mass each; the features may lie on disk, and only `index` of them may count."""

    values: np.ndarray  # (m, d)
    index: Int[np.ndarray, " n"] | None = None
    weight: Float[np.ndarray, " n"] | None = None  # any positive scale; None is uniform

    def __len__(self) -> int:
        return len(self.values) if self.index is None else len(self.index)

    def mass(self) -> Float[np.ndarray, " n"]:
        """(n,) with sum one."""
        weight = np.ones(len(self)) if self.weight is None else np.asarray(self.weight, np.float64)
        return weight / weight.sum()

    def rows(self, start: int, stop: int) -> np.ndarray:
        """(b, d) a copy or a view of some rows."""
        return self.values[start:stop] if self.index is None else self.values[self.index[start:stop]]

    def shard(self, start: int, stop: int) -> Source:
        """Some of the rows, with weights that keep their scale."""
        index = np.arange(start, stop) if self.index is None else self.index[start:stop]
        weight = np.ones(stop - start) if self.weight is None else self.weight[start:stop]
        return Source(self.values, index, weight)


class Problem:
    """Target, cost and epsilon as one affine map of rows to logits.

        A_jz = ln mu_z + (f_z - C_zj) / eps        L_j = ln sum_z exp A_jz

    The part of the cost that depends on the row alone is added after the sum: a softmax does not see it.
    """

    def __init__(
        self, target: np.ndarray, weight: np.ndarray, epsilon: float, *, ground: Ground, precision: Precision,
        device: str, block_bytes: float,
    ) -> None:  # fmt: skip
        self.epsilon, self.ground, self.device = epsilon, ground, device
        self.working = torch.float64 if precision == "float64" else torch.float32
        self.product = getattr(torch, precision)
        wide = torch.as_tensor(np.array(target, np.float64))
        self.across = wide.T.contiguous().to(device, self.product)  # (d, q)
        self.scale = (2.0 if ground == "sqeuclidean" else 1.0) / epsilon
        own = (wide**2).sum(1).numpy() if ground == "sqeuclidean" else np.ones(len(wide))
        self.fixed = np.log(weight) - own / epsilon  # (q,)
        self.q, self.d = len(wide), wide.shape[1]
        wanted = block_bytes / self.q / self.working.itemsize
        self.block_rows = max(16, min(int(wanted), 1 << 16))

    def logits(self, rows: np.ndarray, f: Float[np.ndarray, " q"]) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, q) without the rows' own part, and (b,) that part."""
        # torch warns of arrays it may not write to, such as memory maps: hence a copy, which is small beside b q
        x = torch.from_numpy(np.array(rows, np.float64 if self.working is torch.float64 else np.float32))
        x = x.to(self.device)
        if self.ground == "sqeuclidean":
            own = -(x.double() ** 2).sum(1) / self.epsilon
        else:
            length = x.norm(dim=1, keepdim=True)
            x, own = x / torch.where(length > 0, length, 1), torch.zeros(len(x), dtype=torch.float64, device=x.device)
        bias = torch.as_tensor(self.fixed + f / self.epsilon).to(self.device, self.working)
        meter.count(flops=flops.inner(len(rows), self.q, self.d))
        if self.product is self.working:
            return torch.addmm(bias, x, self.across, alpha=self.scale), own
        return (x.to(self.product) @ self.across).to(self.working).mul_(self.scale).add_(bias), own

    def blocks(self, n: int) -> Iterator[tuple[int, int]]:
        """Places of row blocks whose logits fit the budget."""
        return ((at, min(at + self.block_rows, n)) for at in range(0, n, self.block_rows))


class Fused:
    """Logits are made anew in every pass, a block at a time."""

    kept_bytes = 0

    def __init__(self, problem: Problem, source: Source) -> None:
        self.problem, self.source = problem, source

    def prepare(self, f: Float[np.ndarray, " q"]) -> torch.Tensor | None:
        """Nothing to scale."""
        self.f = f

    def block(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, q) exp(A - top) and (b,) what is to be added to the logarithm of its row sums."""
        logits, own = self.problem.logits(self.source.rows(start, stop), self.f)
        top = logits.amax(1)
        return logits.sub_(top[:, None]).exp_(), own + top


class Kept:
    """exp(A - top) is kept, and scaled by exp((f - f0) / eps); made anew when scalings grow."""

    def __init__(self, problem: Problem, source: Source) -> None:
        self.problem, self.source, self.fused = problem, source, Fused(problem, source)
        n = len(source)
        self.kernel = torch.empty((n, problem.q), dtype=problem.working, device=problem.device)
        self.shift = torch.empty(n, dtype=torch.float64, device=problem.device)
        self.base: np.ndarray | None = None

    def prepare(self, f: Float[np.ndarray, " q"]) -> torch.Tensor:
        """(q,) the scaling of the kernel's columns."""
        if self.base is None or np.abs(f - self.base).max() > GROWTH * self.problem.epsilon:
            self.base = f.copy()
            self.fused.prepare(f)
            for start, stop in self.problem.blocks(len(self.kernel)):
                self.kernel[start:stop], self.shift[start:stop] = self.fused.block(start, stop)
        scaling = np.exp((f - self.base) / self.problem.epsilon)
        return torch.as_tensor(scaling).to(self.problem.device, self.problem.working)

    def block(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, q) the kernel's rows, still in cache for the second product, and their shift."""
        return self.kernel[start:stop], self.shift[start:stop]


def sweep(
    form: Fused | Kept, f: Float[np.ndarray, " q"], weight: Float[np.ndarray, " n"], tilt: float = 0.0,
    logs: Float[np.ndarray, " n"] | None = None,
) -> Sums:  # fmt: skip
    """One pass: what the target rows receive under f, as a sum over these rows.

    Args:
        form: of a shard or of all rows.
        f: the target's potential.
        weight: (n,) of the rows, in whatever scale all shards share.
        tilt: of the logarithm of a row's mass in L; 0 where masses are fixed.
        logs: (n,) filled with L, if given.

    Raises:
        NonFinite: a feature that is not a number.
    """
    problem, n = form.problem, len(weight)
    scaling = form.prepare(f)
    sums = Sums.none(problem.q)
    for start, stop in problem.blocks(n):
        kernel, shift = form.block(start, stop)
        across = kernel.sum(1) if scaling is None else kernel @ scaling  # (b,)
        log_sum = (across.double().log() + shift).cpu().numpy()  # (b,) L
        if not np.isfinite(log_sum).all():
            bad = start + np.flatnonzero(~np.isfinite(log_sum))
            raise NonFinite(f"features of {len(bad)} rows are not numbers, first rows {bad[:5].tolist()}.")
        if logs is not None:
            logs[start:stop] = log_sum
        mass = np.log(weight[start:stop]) + tilt * log_sum  # its logarithm
        top = float(mass.max())
        mass = np.exp(mass - top)
        over = (torch.as_tensor(mass).to(problem.device) / across.double()).to(problem.working)
        received = over @ kernel  # (q,)
        if scaling is not None:
            received = received * scaling
        part = Sums(received.double().cpu().numpy(), float(mass.sum()), float(weight[start:stop] @ log_sum), top)
        sums = sums.plus(part)
        meter.count(flops=4.0 * (stop - start) * problem.q)
    return sums
