"""The twenty-five rules of IFEval as functions of a text; the paper's definitions, odd corners included."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from thresher.core.suggest import unknown
from thresher.errors import TaskError

OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
ABBREVIATIONS = (
    "dr", "mr", "mrs", "ms", "prof", "st", "jr", "sr", "rev", "gen", "col", "lt", "sgt", "capt", "hon", "gov", "sen",
    "rep", "vs", "etc", "e.g", "i.e", "a.m", "p.m", "u.s", "u.k", "u.n", "d.c", "ph.d", "no", "inc", "ltd", "co",
    "corp", "dept", "est", "fig", "vol", "jan", "feb", "mar", "apr", "aug", "sep", "sept", "oct", "nov", "dec", "p.s",
)  # fmt: skip


def kept(rule: str, text: str, values: Mapping[str, Any]) -> bool:
    """Whether a text keeps a rule."""
    return RULES[rule][0](text, **{name: values[name] for name in RULES[rule][1]})


def check_values(where: str, rule: str, values: Mapping[str, Any]) -> None:
    """A rule that exists, with the values it needs.

    Raises:
        TaskError: no such rule, or a value is missing or unknown.
    """
    if rule not in RULES:
        raise TaskError(f"{where}: " + unknown("rule", rule, RULES))
    for name in RULES[rule][1]:
        if name not in values:
            raise TaskError(f"{where}: the rule {rule} needs {name!r}; it has {', '.join(values) or 'no values'}.")
        if name.endswith("relation") and values[name] not in ("less than", "at least"):
            raise TaskError(f"{where}: {name} of {rule} is {values[name]!r}, not 'less than' or 'at least'.")


def require(names: Iterable[str]) -> None:
    """The libraries that these rules need.

    Raises:
        TaskError: one is not installed.
    """
    needed = set(names)
    for module, package, rules in (("langdetect", "langdetect", LANGUAGE), ("nltk", "nltk", SENTENCES)):
        if needed & rules:
            try:
                __import__(module)
            except ModuleNotFoundError:
                raise TaskError(f"IFEval's rules need the package {package}: pip install 'thresher[eval]'.") from None


def compared(found: int, relation: str, wanted: int) -> bool:
    """The two relations there are."""
    return found < wanted if relation == "less than" else found >= wanted


def language(text: str) -> str | None:
    """The language as langdetect tells it, its draws seeded; None where it cannot tell."""
    import langdetect

    langdetect.DetectorFactory.seed = 0
    try:
        return langdetect.detect(text)
    except langdetect.LangDetectException:
        return None


@lru_cache(maxsize=1)
def _splitter() -> Any:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = set(ABBREVIATIONS)
    return PunktSentenceTokenizer(parameters)


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return list(_splitter().tokenize(text))


def words(text: str) -> list[str]:
    """Words as the Penn Treebank has them: a hyphenated one is one."""
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    return [word for sentence in sentences(text) for word in tokenizer.tokenize(sentence)]


def _is_language(text: str, language_: str) -> bool:
    return language(text) in (language_, None)  # what cannot be told counts as kept


def _cased(text: str, right: bool) -> bool:
    return right and language(text) in ("en", None)


def _frequency(text: str, keyword: str, frequency: int, relation: str) -> bool:
    return compared(len(re.findall(keyword.strip(), text, flags=re.IGNORECASE)), relation, frequency)


def _forbidden(text: str, forbidden_words: list[str]) -> bool:
    return not any(re.search(rf"\b{word}\b", text, flags=re.IGNORECASE) for word in forbidden_words)


def _letters(text: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    return compared(text.lower().count(letter.strip().lower()), let_relation, let_frequency)


def _paragraphs(text: str, num_paragraphs: int) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", text)]
    inner = parts[1:-1]
    return all(inner) and len(inner) + sum(bool(parts[at]) for at in {0, len(parts) - 1}) == num_paragraphs


def _first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = text.split("\n\n")
    filled = sum(bool(part.strip()) for part in parts)
    if nth_paragraph > filled or not parts[nth_paragraph - 1].strip():
        return False
    word = parts[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    return filled == num_paragraphs and re.split(r"[.,?!'\"]", word)[0].lower() == first_word.lower()


def _postscript(text: str, postscript_marker: str) -> bool:
    pattern = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}.get(postscript_marker, postscript_marker.lower())
    return re.search(pattern, text.lower()) is not None


def _bullets(text: str, num_bullets: int) -> bool:
    stars = re.findall(r"^\s*\*[^\*].*$", text, flags=re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, flags=re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def _highlights(text: str, num_highlights: int) -> bool:
    single = [one.strip("*") for one in re.findall(r"\*[^\n\*]*\*", text)]
    double = [one[2:-2] for one in re.findall(r"\*\*[^\n\*]*\*\*", text)]
    return sum(bool(one.strip()) for one in single + double) >= num_highlights


def _sections(text: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.split(rf"\s?{section_spliter.strip()}\s?\d+\s?", text)) - 1 >= num_sections


def _json(text: str) -> bool:
    inner = text.strip()
    for mark in ("```json", "```Json", "```JSON", "```"):
        inner = inner.removeprefix(mark)
    try:
        json.loads(inner.removesuffix("```").strip())
    except ValueError:
        return False
    return True


def _two(text: str) -> bool:
    parts = [part.strip() for part in text.split("******")]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _capitals(text: str, capital_frequency: int, capital_relation: str) -> bool:
    return compared(sum(word.isupper() for word in words(text)), capital_relation, capital_frequency)


Rule = tuple[Callable[..., bool], tuple[str, ...]]
RULES: dict[str, Rule] = {
    "keywords:existence": (
        lambda text, keywords: all(re.search(word, text, flags=re.IGNORECASE) for word in keywords), ("keywords",)),
    "keywords:frequency": (_frequency, ("keyword", "frequency", "relation")),
    "keywords:forbidden_words": (_forbidden, ("forbidden_words",)),
    "keywords:letter_frequency": (_letters, ("letter", "let_frequency", "let_relation")),
    "language:response_language": (lambda text, language: _is_language(text, language), ("language",)),
    "length_constraints:number_sentences": (
        lambda text, num_sentences, relation: compared(len(sentences(text)), relation, num_sentences),
        ("num_sentences", "relation")),
    "length_constraints:number_paragraphs": (_paragraphs, ("num_paragraphs",)),
    "length_constraints:number_words": (
        lambda text, num_words, relation: compared(len(re.findall(r"\w+", text)), relation, num_words),
        ("num_words", "relation")),
    "length_constraints:nth_paragraph_first_word": (_first_word, ("num_paragraphs", "nth_paragraph", "first_word")),
    "detectable_content:number_placeholders": (
        lambda text, num_placeholders: len(re.findall(r"\[.*?\]", text)) >= num_placeholders, ("num_placeholders",)),
    "detectable_content:postscript": (_postscript, ("postscript_marker",)),
    "detectable_format:number_bullet_lists": (_bullets, ("num_bullets",)),
    "detectable_format:constrained_response": (lambda text: any(one in text for one in OPTIONS), ()),
    "detectable_format:number_highlighted_sections": (_highlights, ("num_highlights",)),
    "detectable_format:multiple_sections": (_sections, ("section_spliter", "num_sections")),
    "detectable_format:json_format": (_json, ()),
    "detectable_format:title": (
        lambda text: any(one.lstrip("<").rstrip(">").strip() for one in re.findall(r"<<[^\n]+>>", text)), ()),
    "combination:two_responses": (_two, ()),
    "combination:repeat_prompt": (
        lambda text, prompt_to_repeat: text.strip().lower().startswith(prompt_to_repeat.strip().lower()),
        ("prompt_to_repeat",)),
    "startend:end_checker": (
        lambda text, end_phrase: text.strip().strip('"').lower().endswith(end_phrase.strip().lower()), ("end_phrase",)),
    "startend:quotation": (_quoted, ()),
    "change_case:capital_word_frequency": (_capitals, ("capital_frequency", "capital_relation")),
    "change_case:english_capital": (lambda text: _cased(text, text.isupper()), ()),
    "change_case:english_lowercase": (lambda text: _cased(text, text.islower()), ()),
    "punctuation:no_comma": (lambda text: "," not in text, ()),
}  # fmt: skip
LANGUAGE = {"language:response_language", "change_case:english_capital", "change_case:english_lowercase"}
SENTENCES = {"length_constraints:number_sentences", "change_case:capital_word_frequency"}
