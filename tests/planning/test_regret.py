"""The planner replayed on tables that are there: the bar, and that it sees nothing of what it plans."""

import os
from pathlib import Path

import numpy as np
import pytest

from thresher.errors import ResultsError
from thresher.planning import regret
from thresher.planning.prior import Prior
from thresher.planning.results import Panel, Run, read

_BESIDE = Path(__file__).parents[2].parent / "shared" / "data"
TABLE = Path(os.environ.get("THRESHER_DATA", _BESIDE)) / "published" / "ccds.csv"
SHARES = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
BILL = {"random": 0.0, "cheap": 0.0, "dear": 3e17}


def synthetic(task: str, sign: float = 1.0, seed: int = 0) -> Panel:
    """`cheap` is two points ahead of random, `dear` three; all meet at the whole pool."""
    rng = np.random.default_rng(seed)
    lead = {"random": 0.0, "cheap": 2.0, "dear": 3.0}
    runs = [
        Run(method=m, model="m", task=task, metric="accuracy" if sign > 0 else "loss", fraction=f,
            selection_flops=BILL[m], training_flops=1e18 * f, model_params=1e9,
            score=float(sign * (40 + 5 * np.log10(f / 0.025) + lead[m] * (f < 1) * np.log10(1 / f) / 1.6
                                + (f < 1) * rng.normal(0, 0.1))))
        for m in BILL for f in SHARES
    ]  # fmt: skip
    return Panel(task, runs[0].metric, "m", "p", tuple(runs))


def points(choices: list[regret.Choice]) -> dict[str, float]:
    return {one.policy: one.points for one in regret.summary(choices)}


@pytest.mark.skipif(not TABLE.is_file(), reason=f"no published grid {TABLE}")
def test_on_the_published_grid_it_beats_every_fixed_policy_and_halves_randoms_regret():
    found = points(regret.leave_one_out(read(TABLE).panels(), ("random", "bm25", "embed", "ppl", "less")))
    own = found.pop(regret.PLANNER)
    assert own < min(found.values())
    assert own <= found["always-random"] / 2


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_on_planted_tables_it_is_near_the_oracle_whatever_the_metrics_direction(sign: float):
    panels = [synthetic(f"t{seed}", sign, seed) for seed in range(3)]
    found = points(regret.leave_one_out(panels, tuple(BILL)))
    assert found[regret.PLANNER] < 0.1
    assert found["always-random"] > 5 * found[regret.PLANNER]
    assert min(found.values()) >= 0


def test_it_knows_nothing_of_the_panel_it_plans():
    panels = [synthetic(f"t{seed}", seed=seed) for seed in range(2)]
    shuffled = Panel("t0", "accuracy", "m", "p", tuple(
        Run(**{**{k: getattr(r, k) for k in r.__dataclass_fields__}, "score": 99.0 - r.score}) for r in panels[0].runs
    ))  # fmt: skip
    prior = Prior.of(panels[1:])
    taken = [[(c.method, c.fraction) for c in regret.replay(panel, prior)] for panel in (panels[0], shuffled)]
    assert taken[0] == taken[1]


def test_nothing_over_budget_is_taken():
    panel = synthetic("t")
    for choice in regret.replay(panel, Prior.of([synthetic("other", seed=5)])):
        cost = BILL[choice.method] + 1e18 * choice.fraction
        assert cost <= choice.budget * (1 + 1e-9)


def test_one_panel_alone_and_a_panel_without_random_are_refused():
    with pytest.raises(ResultsError, match="from the others, and there is 1"):
        regret.leave_one_out([synthetic("t")], ("random",))
    bare = synthetic("t")
    bare = Panel("t", "accuracy", "m", "p", tuple(run for run in bare.runs if run.method != "random"))
    with pytest.raises(ResultsError, match="no run of 'random' rows"):
        regret.replay(bare, Prior(()))
