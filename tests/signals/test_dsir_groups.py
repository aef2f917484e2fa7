"""DSIR by target group, and what a card says of a choice by words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from thresher import choosing
from thresher.core.pool import SCHEMA, Pool
from thresher.core.store import Store
from thresher.errors import PoolError
from thresher.report import page
from thresher.setting import Setting, Sources
from thresher.signals.dsir import DSIR, SMALLEST
from thresher.signals.dsir_groups import DSIRGroups

WORDS = [f"word{i}" for i in range(60)]


def lines(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(3, 20))) for _ in range(n)]


def pool_of(texts: list[str], groups: list[str | None] | None = None) -> Pool:
    pool = Pool.from_messages([[{"role": "text", "content": text}] for text in texts])
    if groups is None:
        return pool
    return replace(pool, table=pool.table.set_column(2, SCHEMA.field("group"), pa.array(groups, pa.large_string())))


@pytest.mark.parametrize("per_token", [False, True])
def test_each_column_is_dsir_towards_that_group_alone(per_token: bool, tmp_path: Path):
    pool, texts, groups = pool_of(lines(40)), lines(9, seed=1), ["b", "a", None, "b", "a", None, "b", "b", "a"]
    signal = DSIRGroups(per_token=per_token)
    got = signal.measure(signal.prepare(pool, pool_of(texts, groups), tmp_path / "groups"), pool)
    for column, name in enumerate([None, "a", "b"]):  # as the reasons name them
        alone, own = DSIR(per_token=per_token), [t for t, g in zip(texts, groups, strict=True) if g == name]
        state = alone.prepare(pool, pool_of(own), tmp_path / str(name))
        assert_allclose(got[:, column], alone.measure(state, pool), rtol=1e-12)


def test_a_group_without_words_is_named(tmp_path: Path):
    with pytest.raises(PoolError, match="group empty, holds no word"):
        DSIRGroups().prepare(pool_of(lines(5)), pool_of(["a word", " "], ["full", "empty"]), tmp_path)


@pytest.mark.parametrize("hash", ["sha256", "mixed"])
def test_the_diagnosis_is_its_definition(hash: str, tmp_path: Path):
    texts, target, chosen = ["one two", "three", "one one", ""], ["one two two"], np.array([2, 0, 3])
    signal = DSIR(hash=hash)
    pool = pool_of(texts)
    state = signal.prepare(pool, pool_of(target), tmp_path)
    said = signal.diagnose(tmp_path, pool, chosen)

    grams = {"pool": ["one", "two", "one two", "three", "one", "one", "one one"],
             "target": ["one", "two", "two", "one two", "two two"],
             "chosen": ["one", "two", "one two", "one", "one", "one one"]}  # fmt: skip

    def share(of: str, gram: str) -> float:
        return grams[of].count(gram) / len(grams[of])

    def apart(of: str, other: str) -> float:
        return sum(
            share(of, g) * np.log((share(of, g) + SMALLEST) / (share(other, g) + SMALLEST)) for g in {*grams[of]}
        )

    assert said["chosen_from_pool"] == pytest.approx(apart("chosen", "pool"))
    assert said["targets"] == [
        {"name": "", "target_from_pool": pytest.approx(apart("target", "pool")),
         "target_from_chosen": pytest.approx(apart("target", "chosen")),
         "target_from_random": pytest.approx(said["targets"][0]["target_from_random"])}
    ]  # fmt: skip
    ratio = {g: np.log((share("target", g) + SMALLEST) / (share("pool", g) + SMALLEST)) for g in grams["chosen"]}
    gains = {line["ngram"]: line["gain"] for line in said["ngrams"]}
    assert gains == pytest.approx({g: share("chosen", g) * ratio[g] for g in ratio})
    assert list(gains.values()) == sorted(gains.values(), reverse=True)
    assert {line["ngram"]: line["times"] for line in said["ngrams"]}["one"] == 3
    mean = signal.measure(state, pool)[chosen].sum() / len(grams["chosen"])
    assert sum(gains.values()) == pytest.approx(mean), "the gains of all n-grams are the mean log weight"


def test_the_whole_pool_is_no_shift_and_nothing_chosen_no_error(tmp_path: Path):
    pool, signal = pool_of(lines(30)), DSIR()
    signal.prepare(pool, pool_of(lines(5, seed=1)), tmp_path)
    said = signal.diagnose(tmp_path, pool, np.arange(30))
    assert said["chosen_from_pool"] == pytest.approx(0.0, abs=1e-12)
    for other in ("chosen", "random"):  # every row is the whole pool too
        assert said["targets"][0][f"target_from_{other}"] == pytest.approx(said["targets"][0]["target_from_pool"])
    assert len(said["ngrams"]) == 20
    assert signal.diagnose(tmp_path, pool, np.zeros(0, np.int64))["ngrams"] == []


def rows(texts: list[str], **more: str) -> str:
    return "".join(json.dumps({"prompt": text, "completion": text.split()[0], **more}) + "\n" for text in texts)


@pytest.mark.parametrize("method", ["dsir", "dsir:top", "dsir:groups"])
def test_card_and_page_say_how_far_the_choice_went(method: str, tmp_path: Path):
    planted = [f"{text} sum total <add>" for text in lines(10, seed=2)]
    (tmp_path / "pool.jsonl").write_text(rows([*lines(60), *planted]))
    (tmp_path / "math.jsonl").write_text(rows([f"{text} sum total <add>" for text in lines(6, seed=3)]))
    (tmp_path / "plain.jsonl").write_text(rows(lines(6, seed=4)))
    near = ("math.jsonl", "plain.jsonl") if method == "dsir:groups" else ("math.jsonl",)
    sources = Sources(pool=str(tmp_path / "pool.jsonl"), target=tuple(str(tmp_path / name) for name in near))
    setting = Setting.open(sources, store=Store(tmp_path / "store"))
    shares = {"shares": [4, 1]} if method == "dsir:groups" else {}
    choice = choosing.choose(setting, method, "10 rows", overrides=shares)
    card = choosing.write(choice, tmp_path / "out")
    (said,) = card["diagnostics"].values()
    assert said["chosen_from_pool"] > said["random_from_pool"]
    towards = said["targets"][0]
    assert towards["target_from_chosen"] < towards["target_from_random"]
    planted_grams = {"sum", "sum total", "total", "total <", "<", "< add", "add", "add >", ">"}
    assert len(planted_grams & {line["ngram"] for line in said["ngrams"][:6]}) >= 3
    if method == "dsir:groups":
        assert [target["name"] for target in said["targets"]] == ["math.jsonl", "plain.jsonl"]
        assert np.bincount(choice.selection.subset.column).tolist() == [8, 2]
    text = page.write(tmp_path / "out").read_text()
    assert "Kullback-Leibler" in text
    assert "<add>" not in text


def test_methods_without_a_diagnosis_leave_none(tmp_path: Path):
    (tmp_path / "pool.jsonl").write_text(rows(lines(9)))
    setting = Setting.open(Sources(pool=str(tmp_path / "pool.jsonl")), store=Store(tmp_path / "store"))
    card = choosing.write(choosing.choose(setting, "longest", "3 rows"), tmp_path / "out")
    assert card["diagnostics"] == {}
    assert "Kullback-Leibler" not in page.write(tmp_path / "out").read_text()
