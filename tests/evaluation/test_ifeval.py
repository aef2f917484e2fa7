"""Every rule of IFEval on a text that keeps it and one that does not."""

from __future__ import annotations

import pytest

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import ifeval, rules
from thresher.evaluation.task import Task
from thresher.evaluation.writing import Written
from thresher.models.load import Opened, open_model

CASES = [
    ("keywords:existence", {"keywords": ["sun", "moon"]}, "Sun and Moon", "only the sun"),
    ("keywords:frequency", {"keyword": "sun", "frequency": 2, "relation": "at least"}, "sun, Sun", "sun"),
    ("keywords:frequency", {"keyword": "sun", "frequency": 2, "relation": "less than"}, "sun", "sun sun"),
    ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, "rocket", "a Rock"),
    ("keywords:letter_frequency", {"letter": "A", "let_frequency": 2, "let_relation": "at least"}, "banana", "bob a"),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "at least"}, "We go. They stay! Do you?",
     "Dr. Adams went. Home."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb\n***\n", "a\n***\n\n***\nb"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "well-known", "one two three"),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Weekend"}, "a\n\n\"weekend, b", "a\n\nb weekend"),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] [place]", "[name]"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "x\np. s. y", "ps y"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P.P.S z", "P.S. z"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "** a\n- b"),
    ("detectable_format:constrained_response", {}, "Well. My answer is no.", "no"),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "*a* and * *"),
    ("detectable_format:multiple_sections", {"section_spliter": "PART", "num_sections": 2},
     "PART 1 a PART 2 b", "PART 1"),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<a poem>>\nx", "<< >>"),
    ("combination:two_responses", {}, "a******b", "a******a"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hello."}, "say hello. Hello", "Hello. Say hello."),
    ("startend:end_checker", {"end_phrase": "The end."}, 'It is "the end."', "The end. Or not"),
    ("startend:quotation", {}, ' "x" ', '"x'),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"},
     "NASA-X and ESA", "Nasa"),
    ("punctuation:no_comma", {}, "a b", "a, b"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "values", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_by_hand(rule: str, values: dict, good: str, bad: str):
    rules.check_values("here", rule, values)
    assert rules.kept(rule, good, values)
    assert not rules.kept(rule, bad, values)


def test_languages_and_cases():
    pytest.importorskip("langdetect")
    english = "this is a plain english sentence about the weather in the north of the country"
    german = "dies ist ein einfacher deutscher Satz über das Wetter im Norden des Landes"
    assert rules.kept("language:response_language", german, {"language": "de"})
    assert not rules.kept("language:response_language", english, {"language": "de"})
    assert rules.kept("change_case:english_lowercase", english, {})
    assert not rules.kept("change_case:english_lowercase", english.capitalize(), {})
    assert rules.kept("change_case:english_capital", english.upper(), {})


def test_every_rule_has_a_case():
    assert set(rules.RULES) - {case[0] for case in CASES} == rules.LANGUAGE


def row(*named: tuple[str, dict]) -> dict:
    return {"prompt": "p", "instruction_id_list": [n for n, _ in named], "kwargs": [v for _, v in named]}


@pytest.fixture(scope="module")
def opened(tiny_model: str) -> Opened:
    return open_model(tiny_model, dtype="float32")


COMMA = ("punctuation:no_comma", {})
TITLE = ("detectable_format:title", {})


def test_strict_loose_by_prompt_and_by_rule(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    """The first answer keeps both; the second keeps its rule without its first line; the third writes nothing."""
    origin = [row(COMMA, TITLE), row(COMMA), row(COMMA)]
    turns = [[{"role": "user", "content": "p"}, {"role": "assistant", "content": ""}]] * 3
    pool = Pool.from_messages(turns, origin=origin)
    monkeypatch.setattr(ifeval, "write", lambda *_: Written(["<<a>> b", "Sure, here:\nb", ""]))
    task = Task(
        task="t", data="x", measure="ifeval", metrics=("prompt_strict", "prompt_loose", "rule_strict", "rule_loose")
    )
    found = ifeval.score(opened, task, pool)
    assert [one.score for one in found.all()] == pytest.approx([1 / 3, 2 / 3, 2 / 4, 3 / 4])
    assert found.examples[0]["kept"] == "punctuation:no_comma detectable_format:title"
    assert task.reading == "columns"


def test_rules_that_cannot_be():
    with pytest.raises(TaskError, match="Did you mean 'punctuation:no_comma'"):
        ifeval.rules_of("t", row(("punctuation:no_coma", {})), "r")
    with pytest.raises(TaskError, match="needs 'num_words'; it has relation"):
        ifeval.rules_of("t", row(("length_constraints:number_words", {"relation": "at least", "num_words": None})), "r")
    with pytest.raises(TaskError, match="needs the columns instruction_id_list and kwargs"):
        ifeval.rules_of("t", {"prompt": "p"}, "r")
