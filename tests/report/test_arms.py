"""Arms of a run on the page: relative scores, stage costs and fields by hand."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thresher.errors import StoreError
from thresher.report import arms, chosen
from thresher.report.section import Heading, Picture

LOSS = {("a", "loss"): False, ("b", "loss"): False, ("a", "accuracy"): True}


def line(method: str, task: str, score: float, *, rows: int = 10, seed: int = 0, metric: str = "loss", **more) -> dict:
    return {
        "method": method, "task": task, "metric": metric, "model": "m", "protocol": "", "rows": rows, "seed": seed,
        "budget": f"{rows} rows", "score": score, "training_flops": 100.0, "selection_flops": 0.0,
    } | more  # fmt: skip


def test_the_reference_is_full_else_random_at_the_largest_budget():
    lines = [line("random", "a", 2.0, rows=5), line("random", "a", 4.0), line("random", "a", 6.0, seed=1)]
    assert arms.references(lines) == {"a": 5.0}
    assert arms.references([*lines, line("full", "a", 3.0, rows=99)]) == {"a": 3.0}
    assert arms.references([line("s2l", "a", 1.0)]) == {}, "nothing to be relative to"
    assert arms.references([line("full", "a", 0.0)]) == {}, "nobody is twice as good as none"


def test_a_lower_loss_and_a_higher_accuracy_are_both_above_one():
    assert arms.relative(line("x", "a", 2.0), {"a": 3.0}, LOSS) == 1.5
    assert arms.relative(line("x", "a", 3.0, metric="accuracy"), {"a": 2.0}, LOSS) == 1.5


def test_means_over_tasks_inside_a_seed_then_over_seeds():
    lines = [line("x", "a", 1.0), line("x", "b", 2.0), line("x", "a", 2.0, seed=1), line("x", "b", 2.0, seed=1)]
    found = arms.over_seeds(lines, {"a": 2.0, "b": 2.0}, LOSS, by=lambda one: one["rows"])
    # seed 0: (2 + 1) / 2, seed 1: 1; mean 1.25, standard deviation 0.5 / sqrt 2
    assert found == [(10.0, pytest.approx(1.25), pytest.approx(0.5 / 2**0.5 / 2**0.5))]


def test_panels_are_by_domain_where_it_is_named():
    lines = [line(m, t, s) for m, s in (("random", 2.0), ("s2l", 1.9)) for t in ("a", "b")]
    (section,) = arms.score_against_rows(lines, LOSS, ["a"])
    html = next(block for block in section.blocks if isinstance(block, Picture)).html
    assert "in-domain: a" in html
    assert "out-of-domain: b" in html
    (section,) = arms.score_against_rows(lines, LOSS, [])
    assert "all tasks: a, b" in next(block for block in section.blocks if isinstance(block, Picture)).html


@pytest.fixture
def run(tmp_path):
    """A run of three arms that differ in K, two of them in nothing else."""
    (tmp_path / "run.json").write_text(json.dumps({"spec": {
        "methods": [{"label": name} for name in ("K=5", "K=50", "other")], "budgets": ["10 rows"], "seeds": [0, 1],
    }}))  # fmt: skip
    for label, clusters, points in (("K=5", 5, 12), ("K=50", 50, 12), ("other", 50, 3)):
        for seed in (0, 1):
            folder = tmp_path / "selections" / f"{label.replace('=', '_')}-10_rows-{seed}"
            folder.mkdir(parents=True)
            recording = {"name": "recording", "fields": {"points": points, "model": "/x/scratch-3m"}}
            stages = [{"kind": "train", "flops": 30.0}, {"kind": "forward", "flops": 20.0 + 2 * seed}]
            (folder / "card.json").write_text(json.dumps({
                "method": "s2l", "signals": [{"name": "trajectory", "fields": {"recording": recording}}],
                "selector": {"name": "cluster_balanced", "fields": {"clusters": clusters}},
                "cost": {"stages": [*stages, {"kind": "cpu", "flops": 1.0}]},
            }))  # fmt: skip
            taken = np.arange(40) % 4 == (seed if label == "K=5" else 2 * seed)
            groups = ["x" if i < 20 else "y<b>" for i in range(40)]
            table = pa.table({"row": np.arange(40), "chosen": taken, "group": groups})
            pq.write_table(table, folder / "scores.parquet")
    lines = [line("random", "a", 2.0)]
    lines += [line(m, "a", s, seed=i) for m, s in (("K=5", 1.9), ("K=50", 1.8), ("other", 2.1)) for i in (0, 1)]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "results.parquet")
    (tmp_path / "frontier.json").write_text(
        json.dumps({"panels": [{"task": "a", "metric": "loss", "higher_is_better": False}]})
    )
    return tmp_path


def test_selections_are_found_by_the_labels_of_the_run(run):
    found = chosen.of_run(run)
    assert [(one.label, one.seed) for one in found] == [(m, s) for m in ("K=5", "K=50", "other") for s in (0, 1)]


def test_stages_are_means_over_seeds(run, monkeypatch):
    drawn = {}
    monkeypatch.setattr(arms.charts, "stacked", lambda names, parts, colour, *, x: drawn.update(parts) or "")
    arms.stage_costs(chosen.of_run(run), arms.results_of(run))
    assert drawn == {
        "train the model": [100.0] * 3, "train the proxy": [30.0] * 3, "read rows": [21.0] * 3, "choose": [1.0] * 3,
    }  # fmt: skip


def test_a_field_has_a_panel_where_arms_differ_in_it_alone(run):
    sections = {section.title: section for section in arms.arms(run)}
    said = [block.text for block in sections["What the fields do"].blocks if isinstance(block, Heading)]
    assert said == ["cluster_balanced.clusters", "recording.points"], "not K=5 against other: they differ in both"


def test_overlap_by_hand(run):
    bits = [np.packbits(one.rows()) for one in chosen.of_run(run)]
    # K=5: rows 0 mod 4 and 1 mod 4; the others: 0 mod 4 and 2 mod 4
    assert chosen.jaccard(bits[0], bits[0]) == 1.0
    assert chosen.jaccard(bits[0], bits[1]) == 0.0
    half = np.packbits(np.arange(40) % 2 == 0)
    assert chosen.jaccard(bits[0], half) == 0.5
    titles = [section.title for section in chosen.compared(run)]
    assert titles == ["Groups, from the pool to the subsets", "Rows that selections share"]


def test_names_of_groups_are_no_markup(run):
    for section in chosen.compared(run):
        for block in section.blocks:
            assert "y<b>" not in getattr(block, "html", "")


def test_a_folder_beside_that_is_no_selection_is_named(run, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(StoreError, match="not a selection's folder"):
        chosen.of_folders([empty])
