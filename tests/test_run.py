"""A whole run, small: what it leaves, that it goes on, and that its books add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from thresher.core.store import Store
from thresher.errors import FieldError, RecipeError, StoreError, UnknownName
from thresher.planning.results import COLUMNS, EXTRA
from thresher.pricing import price
from thresher.run import run
from thresher.setting import Setting
from thresher.signals._tuning import Tuning
from thresher.signals.loss import Loss
from thresher.spec import Spec


def rows(n: int, start: int = 0) -> str:
    made = [
        {
            "instruction": f"How many keys are {i} keys and {i % 7} more?",
            "output": f"{i + i % 7} keys.",
            "source": "ab"[i % 2],
        }
        for i in range(start, start + n)
    ]
    return "\n".join(map(json.dumps, made)) + "\n"


def values(**more: object) -> dict[str, object]:
    return {
        "pool": "pool.jsonl", "model": "scratch:50k", "scorer": "scratch:20k",
        "methods": ["zero-shot", "random", "ppl-mid"],
        "budgets": ["12 rows"], "seeds": [0, 1], "workers": 1, "dtype": "float32",
        "recipe": {"learning_rate": 1e-3, "batch_size": 4, "micro_batch": 4, "max_tokens": 64},
        "tasks": [{"task": "keys", "data": "test.jsonl", "measure": "held_out"}],
    } | more  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "pool.jsonl").write_text(rows(60))
    (folder / "test.jsonl").write_text(rows(6, start=200))
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    return run(Spec.from_dict(values(), folder=folder), folder / "out", store=Store(folder / "store"))


def lines_of(out: Path) -> list[dict]:
    return pq.read_table(out / "results.parquet").to_pylist()


def test_the_table_has_the_contracts_columns_and_a_line_a_model(finished: Path):
    names = pq.read_table(finished / "results.parquet").column_names
    assert tuple(names[: len(COLUMNS)]) == COLUMNS
    assert set(names[len(COLUMNS) :]) <= set(EXTRA)
    lines = lines_of(finished)
    assert [(line["method"], line["seed"]) for line in lines] == [
        ("zero-shot", None), ("zero-shot:plain", None), ("random", 0), ("random", 1), ("ppl-mid", 0), ("ppl-mid", 1),
    ]  # fmt: skip
    assert (finished / "results.csv").exists()
    assert json.loads((finished / "frontier.json").read_text())["panels"]


def test_the_books_add_up(finished: Path):
    for line in lines_of(finished):
        assert line["total_flops"] == pytest.approx(line["selection_flops"] + line["training_flops"])
        assert line["score_se"] > 0
        chosen = not line["method"].startswith("zero-shot")
        assert line["rows"] == (12 if chosen else 0)
        assert line["fraction"] == (0.2 if chosen else 0.0)
        assert (line["training_flops"] > 0) == chosen
        assert (line["selection_flops"] > 0) == (line["method"] == "ppl-mid"), (
            "tuning and reading are charged, chance is free"
        )
        assert line["scorer"] == ("scratch:20k" if line["method"] == "ppl-mid" else "")
    ppl = [line["selection_flops"] for line in lines_of(finished) if line["method"] == "ppl-mid"]
    assert ppl[0] == ppl[1], "the second seed reads what the first measured, and is charged the same"


def test_a_scratch_scorer_is_charged_its_tuning(finished: Path, folder: Path):
    """Training on the pool is thrice a reading of it, and then it is read."""
    setting = Setting.open(Spec.from_dict(values(), folder=folder).sources, store=Store(folder / "store"))
    loss = Loss(model=setting.scorer)
    reading = replace(loss, tuning=Tuning(on="none")).cost(loss.sizes(setting.pool, None)).flops
    card = json.loads((finished / "selections" / "ppl-mid-12_rows-0" / "card.json").read_text())
    assert card["scorer"]["about"]["random_start"]
    assert card["cost"]["measured"]["selection_flops"] > 3.5 * reading
    assert card["cost"]["estimated"]["selection_flops"] == pytest.approx(
        card["cost"]["measured"]["selection_flops"], rel=0.5
    )


def test_run_again_nothing_is_done_and_the_table_is_the_same(finished: Path, folder: Path):
    before = {path: path.stat().st_mtime_ns for path in finished.glob("trained/*/result.json")}
    assert len(before) == 6
    table = (finished / "results.csv").read_bytes()
    (finished / "results.parquet").unlink()
    run(Spec.from_dict(values(), folder=folder), finished, store=Store(folder / "store"))
    assert {path: path.stat().st_mtime_ns for path in finished.glob("trained/*/result.json")} == before
    assert (finished / "results.csv").read_bytes() == table
    assert len(lines_of(finished)) == 6


def test_a_folder_of_another_run_or_of_anything_is_refused(finished: Path, folder: Path, tmp_path: Path):
    spec = Spec.from_dict(values(seeds=[0, 1, 2], recipe={"learning_rate": 5e-3}), folder=folder)
    with pytest.raises(StoreError, match="another run"):
        run(spec, finished, store=Store(folder / "store"))
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="not empty and not a run"):
        run(spec, tmp_path, store=Store(folder / "store"))


def test_test_rows_that_changed_are_another_run(folder: Path, tmp_path: Path):
    """Else old scores would stand beside new ones, of other rows."""
    for name in ("pool.jsonl", "test.jsonl"):
        (tmp_path / name).write_text((folder / name).read_text())
    spec = Spec.from_dict(values(methods=["zero-shot"]), folder=tmp_path)
    out = run(spec, tmp_path / "out", store=Store(tmp_path / "store"))
    before = lines_of(out)
    (tmp_path / "test.jsonl").write_text(rows(6, start=300))
    with pytest.raises(StoreError, match=r"its files differ \(.*test.jsonl changed\)"):
        run(spec, out, store=Store(tmp_path / "store"))
    assert lines_of(out) == before


def test_a_folder_in_which_a_run_was_killed_at_its_first_write_is_its_own(folder: Path, tmp_path: Path):
    (tmp_path / ".run.json.4711.tmp").write_text("{")
    spec = Spec.from_dict(values(methods=["zero-shot"]), folder=folder)
    assert (run(spec, tmp_path, store=Store(folder / "store")) / "results.csv").exists()


BAD = {
    "a method": ({"methods": ["randon"]}, UnknownName, "Did you mean 'random'"),
    "a key": ({"method": ["random"]}, RecipeError, "Did you mean 'methods'"),
    "a key of a method": ({"methods": [{"method": "random", "sett": {}}]}, RecipeError, "Did you mean 'set'"),
    "no budgets": ({"budgets": []}, RecipeError, "'budgets' is missing"),
    "a recipe's field": ({"recipe": {"epoch": 1}}, RecipeError, "Did you mean 'epochs'"),
}


@pytest.mark.parametrize(("more", "error", "words"), BAD.values(), ids=list(BAD))
def test_what_a_run_cannot_be(more: dict, error: type[Exception], words: str, folder: Path):
    with pytest.raises(error) as said:
        Spec.from_dict(values(**more), folder=folder)
    assert words in str(said.value)


def test_a_field_that_cannot_be_is_refused_before_anything_is_chosen(folder: Path, tmp_path: Path):
    wrong = values(methods=["random", {"method": "ppl-mid", "set": {"max_tokens": "many"}}])
    with pytest.raises(FieldError, match="loss.max_tokens must be a whole number, not 'many'"):
        run(Spec.from_dict(wrong, folder=folder), tmp_path / "out", store=Store(tmp_path / "store"))
    assert not (tmp_path / "out" / "selections").exists(), "the first arm's rows were chosen already"


def test_the_price_said_before_is_what_the_run_came_to(folder: Path, finished: Path):
    spec = Spec.from_dict(values(), folder=folder)
    said = price(spec, Setting.open(spec.sources, store=Store(folder / "store"), recipe=spec.recipe))
    lines = [line for line in lines_of(finished) if line["metric"] == "loss"]
    by_arm = {line["method"]: line for line in said["arms"]}
    assert {name: line["jobs"] for name, line in by_arm.items()} == {"zero-shot": 2, "random": 2, "ppl-mid": 2}
    assert said["jobs"] == len(lines)
    trained = sum(line["training_flops"] for line in lines)
    assert said["training_flops"] == pytest.approx(trained, rel=0.25), "mean rows, whole batches"
    read = max(line["selection_flops"] for line in lines if line["method"] == "ppl-mid")
    assert by_arm["ppl-mid"]["selection_flops"] == pytest.approx(read, rel=0.25)
    assert said["selection_flops"] == by_arm["ppl-mid"]["selection_flops"]
