"""Lines of methods.toml with a signal inside a signal."""

from __future__ import annotations

import pytest

from thresher import building, methods
from thresher.core.method import name_of
from thresher.errors import KindError, ModelError, UnknownName
from thresher.methods import Method

LINE = {"name": "similarity", "of": {"name": "embed", "encoder": "@encoder"}}
METHOD = Method("near", signals=(LINE,), selector={"name": "round_robin"})


def build(method: Method = METHOD, **how):
    return building.build(method, **{"model": "m", "scorer": "s", "encoder": "e"} | how)


def test_a_table_with_a_name_is_a_signal():
    (similarity,), _ = build()
    assert name_of(similarity.of) == "embed"
    assert similarity.of.encoder == "e"


def test_the_method_without_an_encoder_says_what_to_name():
    with pytest.raises(ModelError, match=r"no silent default.*--encoder"):
        build(encoder=None)


def test_an_inner_scorer_falls_back_to_the_model_and_is_asked_for_without():
    line = {"name": "similarity", "of": {"name": "rds", "model": "@scorer"}}
    method = Method("near", signals=(line,), selector={"name": "round_robin"})
    assert build(method, scorer=None)[0][0].of.model == "m"
    with pytest.raises(ModelError, match="--scorer"):
        build(method, scorer=None, model=None)


@pytest.mark.parametrize("key", ["prefix", "embed.prefix", "of.prefix", "similarity.of.prefix"])
def test_a_field_of_an_inner_signal_can_be_set(key: str):
    (similarity,), _ = build(overrides={key: "Find: "})
    assert similarity.of.prefix == "Find: "
    assert "prefix" not in LINE["of"], "the method's own line is as it was"


def test_a_field_set_by_its_place_keeps_those_set_after_it():
    (similarity,), _ = build(overrides={"of.prefix": "Find: ", "text": "answer"})
    assert (similarity.of.prefix, similarity.of.text) == ("Find: ", "answer")


def test_a_field_goes_wherever_it_exists():
    line = {**LINE, "target_of": {"name": "embed", "encoder": "@encoder"}}
    (similarity,), _ = build(
        Method("near", signals=(line,), selector={"name": "round_robin"}), overrides={"text": "answer"}
    )
    assert similarity.of.text == similarity.target_of.text == "answer"


def test_mistakes_inside_are_named():
    with pytest.raises(UnknownName, match=r"no field called 'prefx'.*embed.prefix"):
        build(overrides={"prefx": "a"})
    wrong = Method(
        "near", signals=({"name": "similarity", "of": {"name": "length"}},), selector={"name": "round_robin"}
    )
    with pytest.raises(KindError, match="length measures a score"):
        build(wrong)
    nobody = Method("near", signals=({"name": "similarity", "of": {"name": "embd"}},), selector={"name": "round_robin"})
    with pytest.raises(UnknownName, match="embed"):
        build(nobody)


@pytest.mark.parametrize("name", [name for name, method in methods.table().items() if method.train == "subset"])
def test_every_method_can_be_built_and_its_parts_fit(name: str):
    from thresher.pipeline import check_kinds

    signals, selector = build(methods.get(name))
    check_kinds(signals, selector)
    needs = set(methods.get(name).needs)
    assert ("target" in needs) == any(signal.needs_target for signal in signals)
    said = str(methods.get(name).signals)
    assert ("encoder" in needs) == ("@encoder" in said)
