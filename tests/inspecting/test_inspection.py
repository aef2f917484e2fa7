"""A tiny S2L selection, inspected and put on a page: what the files and the page hold, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from thresher.choosing import choose, write
from thresher.core.store import Store
from thresher.errors import FieldError, KindError, PoolError, StoreError
from thresher.inspecting import short_run
from thresher.inspecting.inspection import Wanted, inspect
from thresher.inspecting.reopening import reopened
from thresher.report import page
from thresher.setting import Setting, Sources
from thresher.training.recipe import Lora, Recipe

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"
FIELDS = {
    "clusters": 6, "recording.points": 3, "recording.epochs": 1.0, "recording.batch_size": 8,
    "recording.micro_batch": 8, "recording.max_tokens": 48,
}  # fmt: skip
RECIPE = {"learning_rate": 1e-3, "batch_size": 8, "micro_batch": 8, "max_tokens": 48}
SMALL = Wanted(rows=32, steps=5, checkpoints=2)


def pool_text(n: int = 72) -> str:
    lines = [
        {"instruction": f"How many are {i} keys and {i % 7}? {EVIL}", "output": f"{i + i % 7} keys.", "source": "a"}
        if i % 3
        else {"instruction": f"Say it {i}", "output": "the quiet northern sea " * 3 + EVIL, "source": f"b{EVIL}"}
        for i in range(n)
    ]
    return "\n".join(map(json.dumps, lines)) + "\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool, a store, and three selections: by trajectories, by them with adapters, and at random."""
    home = tmp_path_factory.mktemp("inspect")
    (home / "pool.jsonl").write_text(pool_text())
    sources = Sources(pool=str(home / "pool.jsonl"), model="scratch:50k", scorer="scratch:20k")
    setting = Setting.open(sources, store=Store(home / "store"), recipe=Recipe.from_dict(RECIPE))
    write(choose(setting, "s2l", "18 rows", overrides=FIELDS), home / "s2l")
    write(choose(setting, "random", "18 rows"), home / "random")
    return home


@pytest.fixture(scope="module")
def inspected(home: Path) -> Path:
    inspect(home / "s2l", SMALL, store=Store(home / "store"))
    return home / "s2l"


def said(folder: Path, name: str) -> dict:
    return json.loads((folder / "diagnostics" / f"{name}.json").read_text())


def test_the_budget_s_flow_adds_up(inspected: Path):
    flow = said(inspected, "clusters")
    chosen = pq.read_table(inspected / "scores.parquet")["chosen"].to_numpy().sum()
    assert flow["rows"] == 72
    assert flow["taken"] == chosen == 18
    for part in ("clusters", "groups"):
        assert sum(line["size"] for line in flow[part]) == 72
        assert sum(line["taken"] for line in flow[part]) == 18
    taken = [line["taken"] for line in flow["clusters"]]
    left = [t for line, t in zip(flow["clusters"], taken, strict=True) if t < line["size"]]
    assert max(left) - min(left) <= 1, "these are the very clusters the budget was spread over"
    sizes = [line["size"] for line in flow["clusters"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(flow["purity"]["clustered"]) == len(sizes)


def test_the_models_curves_are_read_at_the_same_shares_as_the_proxys(inspected: Path):
    agreement = said(inspected, "agreement")
    arrays = np.load(inspected / "diagnostics" / "agreement.npz")
    assert arrays["proxy"].shape == arrays["target"].shape == (32, 3)
    assert np.isfinite(arrays["target"]).all()
    assert agreement["proxy_steps"] == [3, 6, 9]
    assert agreement["target_steps"] == [2, 3, 5], "a third, two thirds and all of five steps"
    assert len(agreement["pearson"]) + agreement["flat"] == 32
    first = arrays["proxy"][0] - arrays["proxy"][0].mean(), arrays["target"][0] - arrays["target"][0].mean()
    r = (first[0] * first[1]).sum() / np.sqrt((first[0] ** 2).sum() * (first[1] ** 2).sum())
    assert np.abs(np.array(agreement["pearson"]) - r).min() < 1e-5
    stages = {receipt["stage"]: receipt["flops"] for receipt in agreement["receipts"]}
    assert set(stages) == {"inspect: train the model", "inspect: losses of the sample"}
    assert min(stages.values()) > 0


def test_gradients_are_compared_at_each_checkpoint_and_charged(inspected: Path):
    gradients = said(inspected, "gradients")
    assert [point["step"] for point in gradients["checkpoints"]] == [0, 5]
    for point in gradients["checkpoints"]:
        cosine = point["cosine"]
        assert cosine["pairs_in"] + cosine["pairs_across"] == 32 * 31 // 2
        assert cosine["difference"]["low"] <= cosine["difference"]["value"] <= cosine["difference"]["high"]
        assert point["share"] == pytest.approx(18 / 72)
        assert 8 in [error["k"] for error in point["error"]]
    assert gradients["receipts"][0]["flops"] > 0


def test_nothing_but_diagnostics_is_left_and_the_card_stays(inspected: Path, home: Path):
    names = sorted(path.name for path in (inspected / "diagnostics").iterdir())
    assert names == [
        "agreement.json", "agreement.npz", "clusters.json", "curves.json", "gradients.json", "length.json",
    ]  # fmt: skip
    card = json.loads((inspected / "card.json").read_text())
    assert not any("inspect" in stage["stage"] for stage in card["cost"]["stages"])


def test_the_page_shows_it_all_and_nothing_in_it_is_markup(inspected: Path, home: Path):
    text = page.write(inspected, home / "page.html", beside=[home / "random"]).read_text()
    start = text.index("<script>")
    text = text[:start] + text[text.index("</script>", start) :]
    for title in (
        "Loss while the proxy learns", "Where the budget went", "Do clusters follow the groups?",
        "Rows of a few clusters", "Does the proxy speak for the model?", "Are gradients alike inside a cluster?",
        "Is it only length?", "Groups, from the pool to the subsets", "Rows that selections share",
    ):  # fmt: skip
        assert f"<h2>{title}</h2>" in text
    assert text.count("quiet northern sea") > 3, "the gallery shows rows"
    assert EVIL not in text
    assert "<script>alert" not in text
    assert "<img" not in text


def test_without_training_only_what_needs_none_is_measured(home: Path):
    copy = home / "copy"
    copy.mkdir()
    for name in ("card.json", "scores.parquet", "selected.jsonl"):
        (copy / name).write_bytes((home / "s2l" / name).read_bytes())
    inspect(copy, Wanted(steps=0), store=Store(home / "store"))
    assert sorted(path.name for path in (copy / "diagnostics").iterdir()) == [
        "clusters.json", "curves.json", "length.json",
    ]  # fmt: skip


def test_what_cannot_be_inspected_is_refused(home: Path, tmp_path: Path):
    store = Store(home / "store")
    with pytest.raises(KindError, match="not by clusters"):
        inspect(home / "random", SMALL, store=store)
    with pytest.raises(StoreError, match="not a selection's folder"):
        inspect(tmp_path, SMALL, store=store)
    (tmp_path / "other.jsonl").write_text(pool_text(60))
    with pytest.raises(StoreError, match="has changed since"):
        reopened(home / "s2l", store, pool=str(tmp_path / "other.jsonl"))


def test_a_selection_without_a_model_has_no_run_to_read(home: Path, tmp_path: Path):
    setting = Setting.open(Sources(pool=str(home / "pool.jsonl"), scorer="scratch:20k"), store=Store(home / "store"))
    write(choose(setting, "s2l", "18 rows", overrides=FIELDS), tmp_path / "none")
    with pytest.raises(PoolError, match="--steps 0"):
        inspect(tmp_path / "none", SMALL, store=Store(home / "store"))


def test_adapters_are_what_gradients_are_of_where_the_recipe_has_them(home: Path, tmp_path: Path):
    choice = reopened(home / "s2l", Store(home / "store"))
    model = choice.setting.model
    assert model is not None
    recipe = Recipe(**RECIPE, lora=Lora(r=2, alpha=8))
    plan = short_run.Plan(model=model, recipe=recipe, steps=2, points=(2,), gradients_at=(1,), d=64)
    found = short_run.run(plan, choice.setting.pool, np.arange(6), gradient_rows=4, folder=tmp_path)
    assert found.losses.shape == (6, 1)
    assert found.gradients[1].shape == (4, 64)
    assert np.linalg.norm(found.gradients[1], axis=1).min() > 0
    assert list(tmp_path.iterdir()) == [], "nothing is left of the run"
    with pytest.raises(FieldError, match="do not fit"):
        short_run.Plan(model=model, recipe=recipe, steps=2, points=(1, 2, 3), gradients_at=())
