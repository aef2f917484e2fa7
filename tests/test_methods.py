"""The table of named methods, and how fields find their place."""

from __future__ import annotations

import pytest

from thresher import building, methods
from thresher.errors import FieldError, ModelError, UnknownName

KEYS = {"name", "signals", "selector", "needs", "cost", "paper"}


def test_the_methods_of_the_first_issue_are_there():
    wanted = {"full", "zero-shot", "random", "random:balanced", "longest", "bm25", "bm25:round-robin", "bm25:ccds"}
    wanted |= {"ppl-top", "ppl-mid", "ppl-low", "ppl-mid:ccds"}
    assert wanted <= set(methods.table())
    for method in methods.table().values():
        assert set(method.to_dict()) == KEYS


def test_a_misspelt_method_is_guessed():
    with pytest.raises(UnknownName, match="no method called 'bm52'. Did you mean 'bm25'"):
        methods.get("bm52")


def build(name: str, **overrides: object):
    return building.build(methods.get(name), model="M", scorer="S", overrides=overrides)


def test_the_scorer_reads_and_the_trained_model_counts():
    assert build("ppl-mid")[0][0].model == "S"
    assert build("longest")[0][0].model == "M"
    assert building.build(methods.get("ppl-mid"), model="M", scorer=None)[0][0].model == "M"
    with pytest.raises(ModelError, match="ppl-mid reads the pool with a model. Name one with --scorer"):
        building.build(methods.get("ppl-mid"), model=None, scorer=None)


def test_fields_go_wherever_they_exist_or_where_they_are_sent():
    (signal,), selector = build("ppl-top", **{"highest": False, "tuning.rows": 7, "loss.of": "all"})
    assert not selector.highest
    assert signal.tuning.rows == 7
    assert signal.of == "all"
    assert build("bm25", k1=2)[0][0].k1 == 2.0
    assert isinstance(build("bm25", k1=2)[0][0].k1, float), "2 and 2.0 are one measurement"
    ccds = build("ppl-mid:ccds", **{"tuning.epochs": 1})[0][0].tuning
    assert (ccds.epochs, ccds.on, ccds.lora) == (1.0, "target", 128), "the rest of the table stays"


@pytest.mark.parametrize("field", ["k2", "bm25.k2", "loss.k1", "tuning.row"])
def test_a_field_that_does_not_exist_is_named_with_those_that_do(field: str):
    with pytest.raises(UnknownName, match="no field"):
        build("bm25", **{field: 1})


@pytest.mark.parametrize(("field", "value", "words"), [
    ("k1", "much", "bm25.k1 must be a number, not 'much'"),
    ("idf", "good", "bm25.idf must be plus-one, okapi, not 'good'"),
    ("per_group_query", 1, "bm25.per_group_query must be true or false, not 1"),
])  # fmt: skip
def test_a_value_a_field_cannot_have_is_named(field: str, value: object, words: str):
    with pytest.raises(FieldError) as said:
        build("bm25", **{field: value})
    assert words in str(said.value)
