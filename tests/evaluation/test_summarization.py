"""ROUGE and BLEU against the libraries' own examples and counts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import corpus, summarization
from thresher.evaluation.summarization import bleu_values, rouge_values
from thresher.evaluation.task import Task
from thresher.evaluation.writing import Written
from thresher.models.load import Opened, open_model

SAID = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
MEANT = ["The dog bit the man.", "It was not unexpected.", "The man bit him first."]


@pytest.fixture(scope="module")
def opened(tiny_model: str) -> Opened:
    return open_model(tiny_model, dtype="float32")


def test_rouge_is_what_its_library_shows():
    """The example of rouge-score's page, then one by hand: five of six words, and their longest common order."""
    one, longest = rouge_values(
        ["The quick brown dog jumps on the log."], ["The quick brown fox jumps over the lazy dog"], ["rouge1", "rougeL"]
    )
    assert one[0] == pytest.approx(2 * 0.75 * (6 / 9) / (0.75 + 6 / 9))
    assert longest[0] == pytest.approx(2 * 0.625 * (5 / 9) / (0.625 + 5 / 9))
    one, two, longest = rouge_values(
        ["the cat was on the mat", ""], ["the cat sat on the mat"] * 2, ["rouge1", "rouge2", "rougeL"]
    )
    assert [one[0], two[0], longest[0]] == pytest.approx([5 / 6, 3 / 5, 5 / 6])
    assert one[1] == two[1] == longest[1] == 0


def test_bleu_is_sacrebleu_and_its_formula():
    import sacrebleu

    score, se, values, signature = bleu_values(SAID, MEANT)
    assert score == pytest.approx(sacrebleu.corpus_bleu(SAID, [MEANT]).score)
    assert values[0] == pytest.approx(100)
    assert se > 0
    assert "tok:13a" in signature
    assert bleu_values(MEANT, MEANT)[:2] == pytest.approx((100, 0))
    # "a b c d e" of "a b c d f g": 4/5, 3/4, 2/3, 1/2, and one word too short
    by_hand = 100 * math.exp(1 - 6 / 5) * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert bleu_values(["a b c d e"], ["a b c d f g"])[0] == pytest.approx(by_hand)


def test_several_metrics_of_one_writing(opened: Opened, monkeypatch: pytest.MonkeyPatch):
    rows = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": text}] for text in MEANT]
    monkeypatch.setattr(summarization, "write", lambda *_: Written(SAID, notes=("one was cut",)))
    task = Task(task="t", data="x", measure="summarization", metrics=("rougeL", "bleu"))
    found = summarization.score(opened, task, Pool.from_messages(rows))
    assert [one.metric for one in found.all()] == ["rougeL", "bleu"]
    assert found.score == pytest.approx(found.values.mean())
    assert found.notes == ("one was cut",)
    assert found.examples[0] == {"written": SAID[0], "reference": MEANT[0]}
    assert found.more[0].n == 3


def test_an_empty_reference_is_named(opened: Opened):
    rows = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": text}] for text in ("a", " ")]
    task = Task(task="t", data="x", measure="summarization")
    with pytest.raises(TaskError, match="row row-1 of pool has no reference answer"):
        summarization.score(opened, task, Pool.from_messages(rows))


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    with pytest.raises(TaskError, match=r"needs the package sacrebleu: pip install 'thresher\[eval\]'"):
        summarization.library_of("bleu")


def test_perplexity_by_hand_and_its_error_by_resampling():
    sums, counts = np.array([2.0, 6.0, 1.0, 4.0]), np.array([2, 3, 1, 4])
    found = corpus.perplexity("t", sums, counts)
    assert found.score == pytest.approx(math.exp(13 / 10))
    assert found.values == pytest.approx(np.exp(sums / counts))
    rng = np.random.default_rng(0)
    many, lengths = rng.gamma(4.0, 1.0, 2000), rng.integers(1, 9, 2000)
    delta = corpus.ratio("t", "bits_per_byte", many, lengths)
    drawn = corpus.resampled(np.stack([many, lengths], 1).astype(float), lambda s: float(s[0] / s[1]), 0)
    assert delta.score_se == pytest.approx(drawn, rel=0.1)
    assert math.isnan(corpus.ratio("t", "x", many[:1], lengths[:1]).score_se)
