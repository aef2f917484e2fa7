"""A run's arms against random rows: signs, sizes, seeds in common, and the words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from thresher import paired
from thresher.errors import ResultsError
from thresher.report.paired import paired as section

RNG = np.random.default_rng(0)
ROWS = RNG.normal(0, 1, 50)


def finished(out: Path, method: str, seed: int | None, lead: float, budget: str = "8 rows", metric: str = "loss"):
    """A model that is `lead` better than random would be, on rows of their own difficulty."""
    sign = -1 if metric == "loss" else 1
    values = ROWS + sign * lead + RNG.normal(0, 0.05, len(ROWS))
    line = {"method": method, "scorer": "", "budget": budget, "seed": seed, "task": "t", "metric": metric,
            "score": float(values.mean())}  # fmt: skip
    record = {"results": [line], "receipts": [{"stage": "training"}, {"values": values.tolist()}]}
    folder = out / "trained" / f"{method}-{budget}-{seed}"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(record))


@pytest.mark.parametrize("metric", ["loss", "exact_match"])
def test_better_is_positive_whatever_the_metric(tmp_path: Path, metric: str):
    for seed in range(3):
        finished(tmp_path, "random", seed, 0.0, metric=metric)
        finished(tmp_path, "good", seed, 0.5, metric=metric)
        finished(tmp_path, "bad", seed, -0.5, metric=metric)
        finished(tmp_path, "same", seed, 0.0, metric=metric)
    finished(tmp_path, "good", 0, 0.5, budget="99 rows", metric=metric)  # no random rows of that size
    finished(tmp_path, "zero-shot", None, 0.0, metric=metric)
    (panel,) = paired.panels(tmp_path)
    said = {line["method"]: line for line in panel["lines"]}
    assert set(said) == {"good", "bad", "same"}
    assert said["good"]["difference"] == pytest.approx(0.5, abs=0.05)
    assert said["good"]["says"] == "certainly better, all comparisons together"
    assert said["bad"]["says"] == "certainly worse, all comparisons together"
    assert said["same"]["says"].startswith("undecided: 0.")
    assert all(line["p"] <= line["p_holm"] for line in said.values())
    assert (said["good"]["seeds"], said["good"]["rows"]) == (3, 50)


def test_only_seeds_in_common_are_paired_and_the_page_shows_it(tmp_path: Path):
    for seed in (0, 1):
        finished(tmp_path, "random", seed, 0.0)
    for seed in (1, 2):
        finished(tmp_path, "good", seed, 1.0)
    paired.leave(tmp_path)
    (made,) = section(tmp_path)
    assert made.blocks[2].rows[0][0] == "good"
    assert json.loads((tmp_path / "paired.json").read_text())["panels"][0]["lines"][0]["seeds"] == 1
    assert paired.panels(tmp_path, "good")[0]["lines"][0]["difference"] == pytest.approx(-1.0, abs=0.05)


def test_a_folder_without_models_is_named(tmp_path: Path):
    with pytest.raises(ResultsError, match="no finished model"):
        paired.panels(tmp_path)
    assert section(tmp_path) == []
