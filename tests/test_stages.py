"""Protocols and two stages in one run: what repeats, what is billed, what is never mixed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from thresher.core.store import Store
from thresher.errors import PoolError, RecipeError
from thresher.planning.frontier import frontier
from thresher.planning.results import read
from thresher.run import run
from thresher.spec import Spec

WORDS = ["tide", "keel", "mast", "rope", "sail", "oar", "deck", "hull"]


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def texts(n: int, start: int = 0) -> list[dict]:
    return [
        {"text": f"The {WORDS[i % 8]} of boat {i} holds the {WORDS[i * 3 % 8]} fast.", "source": "ab"[i % 2]}
        for i in range(start, start + n)
    ]


def labelled(n: int, start: int = 0) -> list[dict]:
    return [{"text": row["text"], "label": "even" if i % 2 == 0 else "odd"} for i, row in enumerate(texts(n, start))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages")
    write(folder / "pool.jsonl", texts(40))
    write(folder / "train.jsonl", labelled(10, 100))
    write(folder / "test.jsonl", labelled(4, 200))
    return folder


def values(**more: object) -> dict[str, object]:
    return {
        "pool": "pool.jsonl", "model": "scratch:20k", "target": "train.jsonl", "methods": ["random"],
        "budgets": ["4 rows", "8 rows"], "seeds": [0], "workers": 1, "dtype": "float32",
        "tasks": [{"task": "parity", "data": "test.jsonl", "measure": "held_out", "rows_as": "classification"}],
    } | more  # fmt: skip


SMALL = {"learning_rate": 1e-3, "batch_size": 4, "micro_batch": 4, "max_tokens": 32}
STAGES = {"labelled": "train.jsonl", "format": "classification", "first": {**SMALL, "epochs": 3}, "second": SMALL}


def lines_of(out: Path) -> list[dict]:
    return pq.read_table(out / "results.parquet").to_pylist()


@pytest.fixture(scope="module")
def protocols(folder: Path) -> Path:
    spec = Spec.from_dict(
        values(methods=["zero-shot", "random"], recipe=SMALL, protocols=["equal-epochs", "equal-steps"], steps=5),
        folder=folder,
    )
    return run(spec, folder / "protocols", store=Store(folder / "store"))


def test_equal_steps_repeat_small_subsets_and_equal_epochs_do_not(protocols: Path):
    cost = {(line["protocol"], line["rows"]): line["training_flops"] for line in lines_of(protocols)}
    assert cost["equal-epochs", 8] > 1.7 * cost["equal-epochs", 4]
    assert cost["equal-steps", 8] == pytest.approx(cost["equal-steps", 4], rel=0.1)
    assert cost["equal-steps", 4] == pytest.approx(5 * cost["equal-epochs", 4], rel=0.01)


def test_panels_never_mix_protocols_and_equal_steps_are_compared_by_rows(protocols: Path):
    panels = frontier(read(protocols))["panels"]
    assert [(p["task"], p["protocol"], p["axis"]) for p in panels] == [
        ("parity", "equal-epochs", "total_flops"), ("parity", "equal-steps", "rows"),
    ]  # fmt: skip
    for panel in panels:
        assert [(a["method"], a["rows"]) for a in panel["arms"]] == [
            ("zero-shot", 0), ("zero-shot:plain", 0), ("random", 4), ("random", 8),
        ], "the untrained model stands in both"  # fmt: skip
    assert panels[1]["full_flops"] is None, "cost does not grow with the share"
    assert panels[1]["fits"] == []


@pytest.fixture(scope="module")
def stages(folder: Path) -> Path:
    arms = ["zero-shot", "no-warm-up", "tapt", "random", {"method": "bm25", "label": "near"},
            {"method": "random", "label": "random, matched", "matching": "near"}]  # fmt: skip
    spec = Spec.from_dict(values(methods=arms, budgets=["8 rows"], stages=STAGES, keep_models=True), folder=folder)
    return run(spec, folder / "stages", store=Store(folder / "store"))


def test_both_stages_are_on_the_bill_and_the_control_pays_the_second_alone(stages: Path):
    cost = {line["method"]: line["training_flops"] for line in lines_of(stages)}
    assert cost["zero-shot"] == 0
    second = cost["no-warm-up"]
    assert second > 0
    first = (cost["random"] - second) / 8
    assert first > 0
    assert (cost["tapt"] - second) / 10 == pytest.approx(first, rel=0.15), "ten rows of the target's own text"
    about = json.loads((stages / "trained" / "random-8_rows-0" / "model" / "thresher-training.json").read_text())
    assert [(r["loss"], r["epochs"]) for r in about["recipes"]] == [("all", 3.0), ("answer", 1.0)]


def test_tapt_reads_the_targets_text_without_its_labels(stages: Path):
    rows = [json.loads(line) for line in (stages / "target.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [row["text"] for row in labelled(10, 100)]
    assert all("label" not in row for row in rows)


def test_matched_random_may_spend_on_rows_what_choosing_cost(stages: Path):
    cards = {
        name: json.loads((stages / "selections" / f"{name}-8_rows-0" / "card.json").read_text())
        for name in ("near", "random_matched")
    }
    spent = {name: card["cost"]["measured"]["selection_flops"] + card["cost"]["estimated"]["training_flops"]
             for name, card in cards.items()}  # fmt: skip
    assert 0.8 * spent["near"] < spent["random_matched"] <= spent["near"] * 1.0001
    assert {line["protocol"] for line in lines_of(stages)} == {"equal-epochs, two stages"}
    assert [line["budget"] for line in lines_of(stages) if line["method"] == "random, matched"] == ["8 rows"]


BAD = {
    "a protocol": ({"protocols": ["equal-step"]}, RecipeError, "Did you mean 'equal-steps'"),
    "steps without it": ({"steps": 5}, RecipeError, "Name it under `protocols`"),
    "steps that are none": ({"protocols": "equal-steps", "steps": 0}, RecipeError, "at least 1"),
    "no labelled rows": ({"stages": {"first": SMALL}}, RecipeError, "needs `labelled`"),
    "two recipes": ({"stages": STAGES, "recipe": SMALL}, RecipeError, "stages.first"),
    "a key of stages": ({"stages": {**STAGES, "thrid": 1}}, RecipeError, "no key of stages"),
    "stage two of none": ({"methods": ["no-warm-up"]}, RecipeError, "Add `stages:`"),
    "no target": ({"methods": ["tapt"], "target": []}, PoolError, "Add `target:`"),
    "matching nothing": ({"methods": [{"method": "random", "matching": "x"}]}, RecipeError, "of one arm above it"),
    "flops and steps": ({"protocols": ["equal-steps"], "budgets": ["1e12 flops"]}, RecipeError, "equal-epochs alone"),
}


@pytest.mark.parametrize(("more", "error", "words"), BAD.values(), ids=list(BAD))
def test_what_cannot_be(more: dict, error: type[Exception], words: str, folder: Path, tmp_path: Path):
    with pytest.raises(error, match=words):
        run(Spec.from_dict(values(**more), folder=folder), tmp_path / "out", store=Store(folder / "store"))
