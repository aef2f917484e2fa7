"""How much a row's mass lowers the cost of moving the pool onto the target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Float

from thresher.compute import flops
from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal, name_of
from thresher.core.pool import Pool
from thresher.errors import KindError, NonFinite, PoolError
from thresher.signals._sweeps import Ground, Precision, Source
from thresher.signals._transport import Settings, Solution, score, solve
from thresher.signals._weights import column_weights, distinct, drawn_by_id
from thresher.signals.hashed_ngrams import HashedNgrams
from thresher.signals.similarity import signed

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
SECONDS_PER_FLOP = 1e-10  # products of small matrices, one thread
READ = 4096  # rows whose features are measured at a time where nothing is stored


@dataclass(frozen=True)
class Fitted:
    """The potential on the target's side."""

    inner: Any  # the feature signal's own state
    solution: Solution  # without the fitted rows' g
    about: dict[str, Any]  # for the card


@dataclass(frozen=True, kw_only=True)
class GotD(Signal):
    """Gradient of the entropic transport cost in the row's mass, in units of the cost; negative is valuable.

        g_i = -eps ln sum_z mu_z exp((f_z - C_iz) / eps) - mean g        C_iz = |x_i - x_z|^2 or 1 - cos(x_i, x_z)
        f:  mu_z = sum_i nu_i pi_iz,    pi_iz the softmax over z of ln mu_z + (f_z - C_iz) / eps
        with rho:  g_i shrinks by rho / (rho + eps), and row i may hold the mass nu_i exp(-g_i / rho)

    Source:  Kang et al. 2024, "Get more for less", ICLR, arXiv:2405.02774.
    Differs: eps is relative to the mean cost, f is fitted on a sample and to a tolerance that is met or is an error;
             one potential in place of two. Calibration, n / (n - 1) (g_i - mean g), is in the card: it ranks alike.
    Cost:    the feature of the target; n q inner products once over the pool, v times over the sample (once where
             its kernel fits in memory). v, the passes, grows like 1 / eps.
    """

    of: Annotated[Signal, "the feature"] = field(default_factory=HashedNgrams)
    ground: Annotated[Ground, "cost of a pair"] = "sqeuclidean"
    epsilon: Annotated[float, "entropic weight, in units of the mean cost unless absolute"] = 0.03
    absolute: Annotated[bool, "epsilon and rho are in units of the cost itself"] = False
    rho: Annotated[float | None, "price of changing the rows' masses; None forbids it, small gives a soft vote"] = None
    tolerance: Annotated[float, "summed error of the target's masses"] = 1e-2
    max_sweeps: Annotated[int, "passes at most"] = 2000
    omega: Annotated[float, "length of a step, 1 to 2"] = 1.5
    memory: Annotated[int, "steps that the next one is foretold from (Anderson's mixing); 0 is none"] = 5
    fit_rows: Annotated[int, "rows, drawn by id, that the potential is fitted on"] = 50_000
    whole: Annotated[bool, "fit on every row, from the sample's potential on"] = False
    weight: Annotated[str, "a column with each row's mass, in pool and target; empty is uniform"] = ""
    allow_unconverged: Annotated[bool, "take a potential that missed the tolerance; the card says so"] = False
    precision: Annotated[Precision, "of products; bfloat16 is polished in float32"] = "float32"
    seed: Annotated[int, "of the sample"] = 0

    kind: ClassVar[Kind] = "score"
    needs_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Only features have distances.

        Raises:
            KindError: something else was given.
        """
        if self.of.kind != "feature":
            raise KindError(f"got_d moves features, and {name_of(self.of)} measures a {self.of.kind}.")

    def settings(self) -> Settings:
        """As the solver takes them; it refuses numbers that are not possible."""
        return Settings(
            epsilon=self.epsilon, relative=not self.absolute, rho=self.rho, ground=self.ground, omega=self.omega,
            tolerance=self.tolerance, max_sweeps=self.max_sweeps, precision=self.precision,
            memory=self.memory,
        )  # fmt: skip

    @property
    def reads_origin(self) -> bool:  # type: ignore[override]
        """Where masses come from a column."""
        return bool(self.weight) or self.of.reads_origin

    def inner(self) -> Signal:
        """The pool's feature."""
        return self.of

    def identity(self) -> dict[str, str]:
        """The feature by what changes its values."""
        return {"of": signed(self.of)}

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Rows of both sides, and the target as its feature counts it."""
        assert target is not None, "got_d needs a target: needs_target says so"
        self.settings()  # before anything is loaded
        near = self.of.sizes(target, None)
        return Load(
            n=len(pool), tokens=0, q=len(target), target_tokens=near.tokens, target_square=near.square, d=near.d
        )

    def cost(self, load: Load) -> Cost:
        """The target's feature, passes over the sample, one pass over the pool; passes are a guess from epsilon."""
        near = self.of.reading_cost(
            Load(n=load.q, tokens=load.target_tokens, square=load.target_square, d=load.d)
        )
        pairs, passes = min(load.n, self.fit_rows) * load.q, 0.5 / self.epsilon
        kept = 4.0 * pairs <= Settings().kernel_bytes
        products = flops.inner(load.n, load.q, load.d) + pairs * (2.0 * load.d * (1 if kept else passes) + 4 * passes)
        if self.whole and load.n > self.fit_rows:
            products += 5 * flops.inner(load.n, load.q, load.d + 2)
        return near + Cost(flops=products, cpu_seconds=products * SECONDS_PER_FLOP, disk_bytes=8.0 * load.n)

    def usable(self, pool: Pool) -> np.ndarray | None:
        """(n,) rows with a feature."""
        return self.of.usable(pool)

    def usable_target(self, target: Pool) -> np.ndarray | None:
        """(q,) rows with a feature."""
        return self.of.usable(target)

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Fitted:
        """The potential, where the pool's features are not stored."""
        state = self.of.prepare(pool, target, folder)
        values = np.concatenate([self.of.measure(state, rows) for _, rows in pool.parts(READ)])
        return self.prepare_over(pool, target, folder, values)

    def prepare_over(self, pool: Pool, target: Pool | None, folder: Path, values: np.ndarray) -> Fitted:
        """The potential, from the pool's features and the target's.

        Raises:
            PoolError: all rows are alike.
            Unconverged: the tolerance was not met within the passes allowed.
        """
        assert target is not None, "got_d needs a target: needs_target says so"
        inner = self.of.prepare(pool, target, folder)
        near = self._near(inner, target, values.shape[1])
        mass, mu = column_weights(pool, self.weight), column_weights(target, self.weight)
        rows = drawn_by_id(pool, self.fit_rows, f"{self.seed}/signals/got_d/")
        sample = np.asarray(values[rows])
        first, held = distinct(sample, mass[rows])
        if len(first) == 1 < len(pool):
            raise PoolError(f"all {len(rows):,} rows have the same {name_of(self.of)}: there is nothing to rank.")
        solution = solve(Source(sample, first, held), near, target_weight=mu, settings=self.settings())
        about = {"sample": solution.account()} if self.whole and len(rows) < len(pool) else {}
        if about:
            solution = solve(
                Source(values, weight=mass), near, target_weight=mu, settings=self.settings(), start=solution.f,
                mean_cost=solution.mean_cost,
            )  # fmt: skip
        if not self.allow_unconverged:
            solution.require()
        about |= {"fitted_rows": len(pool) if about else len(rows), "distinct": len(solution.g), "targets": len(target)}
        return Fitted(inner, replace(solution, g=np.empty(0)), {**solution.account(), **about, **_calibrated(solution)})

    def account(self, state: Fitted) -> dict[str, Any]:
        """How the potential was found, its error, and calibrated values of the rows it was fitted on."""
        return {"of": self.of.account(state.inner), **state.about}

    def measure(self, state: Fitted, rows: Pool) -> Float[np.ndarray, " b"]:
        """(b,) g, minus its mean over the rows that f was fitted on."""
        return self.measure_over(state, rows, self.of.measure(state.inner, rows))

    def measure_over(self, state: Fitted, rows: Pool, values: np.ndarray) -> Float[np.ndarray, " b"]:
        """The same from stored features.

        Raises:
            NonFinite: a feature that is not a number.
        """
        return score(values, state.solution)

    def _near(self, inner: Any, target: Pool, d: int) -> np.ndarray:
        """(q, d) the target's features.

        Raises:
            KindError: their dimension is not the pool's.
            NonFinite: one is not a number.
        """
        near = self.of.measure(inner, target)
        if near.shape[1] != d:
            raise KindError(
                f"the pool's {name_of(self.of)} has {d} dimensions and the target's has {near.shape[1]}: another "
                "encoder measured one of them. Name one encoder for both, or measure the pool again in another --store."
            )
        bad = np.flatnonzero(~np.isfinite(near).all(axis=1))
        if bad.size:
            ids = target.take(bad[:5]).ids()
            raise NonFinite(f"features of {bad.size} target rows are not numbers, first ids {ids}.")
        return near


def _calibrated(solution: Solution) -> dict[str, Any]:
    """Of n / (n - 1) (g - mean g), the slope per unit of mass added, over the fitted rows."""
    n = len(solution.g)
    calibrated = solution.g * (n / max(n - 1, 1))
    spread = zip(QUANTILES, np.quantile(calibrated, QUANTILES).tolist(), strict=True)
    levels = {f"{100 * level:g}%": value for level, value in spread}
    return {"calibrated": levels, "share_below_zero": float((calibrated < 0).mean())}
