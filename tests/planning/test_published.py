"""Laws on the published cost-score grid: its Pareto sets, fits, ratios, break-evens and crossings."""

import csv
import math
import os
from pathlib import Path

import pytest

from thresher.planning.arms import arms
from thresher.planning.breakeven import cheap_fraction, runs_to_pay, shared_total, size_ratio
from thresher.planning.curves import fit
from thresher.planning.frontier import frontier
from thresher.planning.results import read

_BESIDE = Path(__file__).parents[2].parent / "shared" / "data"
DATA = Path(os.environ.get("THRESHER_DATA", _BESIDE)) / "published"
pytestmark = pytest.mark.skipif(not (DATA / "ccds.csv").is_file(), reason=f"no published grid in {DATA}")
CHEAP = ("random", "bm25", "embed")
SHARE = {"ppl": 1 / 3, "less": 1.8}
PARETO = {
    ("mmlu", "7b"): "embed 2.5, embed 5, bm25 10, embed 25, embed 50, full 100",
    ("mmlu", "13b"): "bm25 2.5, bm25 5, bm25 10, bm25 25, ppl 25, bm25 50, ppl 50, full 100",
    ("mmlu", "70b"): "embed 2.5, embed 5, ppl 5, ppl 10, less 10, less 25, less 50, full 100",
    ("bbh", "7b"): "embed 2.5, embed 5, embed 10, embed 25, ppl 10, embed 50, ppl 50, full 100",
    ("bbh", "70b"): "embed 2.5, embed 5, ppl 5, ppl 10, less 10, ppl 25, less 25, ppl 50, less 50, full 100",
}
SHIFTED = {
    ("mmlu", "7b"): {"ppl": (44.43, 12.6, 0.76), "less": (46.13, 3.7, 0.97)},
    ("mmlu", "13b"): {"ppl": (50.59, 20.4, 0.93), "less": (54.05, 4.8, 1.00)},
    ("mmlu", "70b"): {"ppl": (69.47, 4.2, 0.73), "less": (67.31, 27.3, 0.99)},
    ("bbh", "7b"): {"ppl": (38.38, 29.0, 0.94), "less": (41.13, 3.8, 0.96)},
    ("bbh", "70b"): {"ppl": (66.87, 30.4, 0.89), "less": (68.88, 18.6, 0.87)},
}
NEVER = None
RATIOS = {
    ("mmlu", "7b"): {"ppl": (9.6, 8.0, NEVER, NEVER), "less": (26.4, 41.7, NEVER, 81.3)},
    ("mmlu", "13b"): {"ppl": (NEVER, 6.0, 2.1, 4.6), "less": (28.6, 24.6, 17.4, 8.4)},
    ("mmlu", "70b"): {"ppl": (0.7, 0.6, 0.8, 1.6), "less": (NEVER, 2.7, 2.9, 4.3)},
    ("bbh", "7b"): {"ppl": (13.7, 1.9, 1.5, 5.4), "less": (61.3, NEVER, NEVER, 8.7)},
    ("bbh", "70b"): {"ppl": (0.9, 0.9, 0.8, 0.9), "less": (4.6, 5.0, 4.1, 3.8)},
}


def size_of(model):
    return model.split("-")[-2]


@pytest.fixture(scope="module")
def panels():
    return {(p.task, size_of(p.model)): p for p in read(DATA / "ccds.csv").panels()}


@pytest.fixture(scope="module")
def published():
    with (DATA / "fits.csv").open() as file:
        return list(csv.DictReader(file))


def points(panel, method):
    """(fraction, total, score) by rising fraction."""
    found = [arm for arm in arms(panel) if arm.method == method]
    return [(arm.fraction, arm.total_flops, arm.score) for arm in found]


def test_the_strict_pareto_sets_are_the_published_ones():
    said = frontier(read(DATA / "ccds.csv"))["panels"]
    assert len(said) == 5
    for panel in said:
        kept = ", ".join(f"{p['method']} {100 * p['fraction']:g}" for p in panel["pareto"])
        assert kept == PARETO[panel["task"], size_of(panel["model"])]


def test_published_fits_come_out_of_the_published_points(panels, published):
    """kappa within 0.5 %; p0 within 0.01, or 0.02 for the one cell whose printed value stopped short.

    (BBH 70B, LESS: 17.05 is where a solver of usual tolerance stops; the least sum of squares is at 17.03.)
    """
    for line in published:
        panel = panels[line["task"], size_of(line["model"])]
        _, total, score = zip(*points(panel, line["method"]), strict=True)
        curve = fit(total, score, form="published", full_flops=panel.full_flops, p_bar=float(line["p_bar"]))
        p0, kappa = float(line["p0"]), float(line["kappa_per_1e18"])
        if (line["task"], size_of(line["model"])) == (
            "mmlu",
            "7b",
        ):  # two points of the figure are misprinted
            p0, kappa = {"random": (45.27, 0.4959), "bm25": (45.44, 0.8863)}.get(line["method"], (p0, kappa))
        assert curve.p0 == pytest.approx(p0, abs=0.02 if p0 == 17.05 else 0.01), line
        assert curve.kappa == pytest.approx(kappa, rel=0.005), line
        assert curve.at_bound == (line["p0_at_bound"] == "true"), line


def test_shifted_fits_are_the_stated_ones(panels, published):
    for key, methods in SHIFTED.items():
        p_bar = next(float(x["p_bar"]) for x in published if (x["task"], size_of(x["model"])) == key)
        for method, (p0, decay, r2) in methods.items():
            _, total, score = zip(*points(panels[key], method), strict=True)
            paid = next(run.selection_flops for run in panels[key].runs if run.method == method)
            curve = fit(total, score, selection=paid, full_flops=panels[key].full_flops, p_bar=p_bar)
            found = (round(curve.p0, 2), round(curve.decay, 1), round(curve.r2, 2))
            assert found == pytest.approx((p0, decay, r2), abs=1e-9), (key, method)


def test_the_size_ratio_table(panels):
    for key, methods in RATIOS.items():
        lines = [[(f, s) for f, _, s in points(panels[key], method)] for method in CHEAP]
        for method, expected in methods.items():
            found = [
                size_ratio(SHARE[method], f, cheap_fraction(s, lines))
                for f, _, s in points(panels[key], method)
                if f in (0.05, 0.1, 0.25, 0.5)
            ]
            assert [r and round(r, 1) for r in found] == list(expected), (key, method)


def test_break_even_over_tasks(panels):
    """LESS with a 7B scorer and model on MMLU, against the figure's regression line."""
    bill, gaps = 8.2692e18, {1: -1.49, 5: -0.81, 10: -0.54, 20: -0.28}
    stars = {0.025: 51.7, 0.05: 24.0, 0.1: 29.6, 0.25: 14.2, 0.5: 11.6, 1.0: None}
    for fraction, total, score in points(panels["mmlu", "7b"], "less"):
        training = total - bill
        star = runs_to_pay(bill, training, 1e18 * 10 ** ((score - 46.69) / 1.001))
        expected = stars[fraction]
        assert star == (None if expected is None else pytest.approx(expected, rel=0.012))
        if fraction == 0.025:
            for runs, gap in gaps.items():
                line = 46.69 + 1.001 * math.log10(shared_total(bill, training, runs) / 1e18)
                assert score - line == pytest.approx(gap, abs=0.01)  # the line is printed rounded


def test_no_subset_reaches_the_full_run(panels):
    for panel in panels.values():
        full = max(arm.score for arm in arms(panel) if arm.full)
        assert all(run.score < full for run in panel.runs if run.fraction < 1)
