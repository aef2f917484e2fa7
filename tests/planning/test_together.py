"""P-values of leads over random, alone and held together."""

from __future__ import annotations

import pytest
from scipy import stats

from thresher.planning.bootstrap import holm
from thresher.planning.difference import Difference, paired
from thresher.planning.frontier import frontier
from thresher.planning.results import Results, Run
from thresher.report.tables import against_random


def test_the_p_value_is_that_of_the_paired_t_test():
    first, second = {0: 0.5, 1: 0.7, 2: 0.65}, {0: 0.4, 1: 0.5, 2: 0.6}
    lead = paired(first, second)
    assert lead is not None
    assert lead.p == pytest.approx(stats.ttest_rel(list(first.values()), list(second.values())).pvalue)
    assert (lead.p < 0.05) == lead.above


def test_by_standard_errors_it_is_the_normal_one_and_without_spread_there_is_none():
    assert Difference(1.0, 1.0 - 1.959964, 1.0 + 1.959964, 0, "score_se").p == pytest.approx(2 * stats.norm.sf(1))
    assert Difference(1.0, None, None, 0, "unpaired").p is None
    assert [Difference(mean, mean, mean, 3, "paired").p for mean in (0.0, 0.2)] == [1.0, 0.0]


def test_a_table_holds_its_comparisons_together():
    scores = {"random": (0.50, 0.52, 0.51), "a": (0.60, 0.61, 0.63), "b": (0.52, 0.55, 0.52), "c": (0.5, 0.51, 0.53)}
    runs = tuple(
        Run(method=method, model="m", task="t", metric="accuracy", score=score, fraction=0.1, seed=seed,
            selection_flops=0.0, training_flops=1e12)
        for method, values in scores.items() for seed, score in enumerate(values)
    )  # fmt: skip
    (panel,) = frontier(Results(runs))["panels"]
    leads = {arm["method"]: arm["against_random"] for arm in panel["arms"] if arm["against_random"]}
    assert set(leads) == {"a", "b", "c"}
    assert [one["p_holm"] for one in leads.values()] == pytest.approx(holm([one["p"] for one in leads.values()]))
    assert leads["a"]["p_holm"] == pytest.approx(3 * leads["a"]["p"])
    assert against_random(leads["a"]).endswith(f"p {leads['a']['p_holm']:.2g}")
