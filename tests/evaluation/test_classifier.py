"""The judge's probability of what is written; what is code is opened only when it is trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import classifier
from thresher.evaluation.judges import export, open_judge
from thresher.evaluation.measures import evaluate
from thresher.evaluation.task import Task
from thresher.evaluation.writing import Written
from thresher.planning.results import higher_is_better

RUDE = ["you fool get lost", "what a stupid idea fool", "get lost you stupid man", "stupid fool"]
KIND = ["thank you my friend", "what a lovely idea", "please come in friend", "lovely thank you"]


def words():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectoriser = TfidfVectorizer(ngram_range=(1, 2))
    fitted = LogisticRegression(C=100.0).fit(vectoriser.fit_transform(RUDE + KIND), ["rude"] * 4 + ["kind"] * 4)
    return vectoriser, fitted


def test_a_linear_judge_says_the_same_after_export(tmp_path: Path):
    vectoriser, fitted = words()
    texts = [*RUDE, *KIND, "", "a lovely fool"]
    judge = open_judge(str(export(vectoriser, fitted, tmp_path / "judge")))
    assert judge.classes == ["kind", "rude"]
    np.testing.assert_allclose(judge.probability(texts), fitted.predict_proba(vectoriser.transform(texts)), atol=1e-12)
    with pytest.raises(TaskError, match="not str and str"):
        export("a", "b", tmp_path)


def test_a_pickle_is_opened_only_when_it_is_trusted(tmp_path: Path):
    import joblib
    from sklearn.pipeline import make_pipeline

    path = tmp_path / "judge.joblib"
    joblib.dump(make_pipeline(*words()), path)
    with pytest.raises(TaskError, match="runs whatever code is in it"):
        open_judge(str(path))
    assert open_judge(str(path), trust_pickle=True).probability(RUDE)[:, 1].min() > 0.5
    with pytest.raises(TaskError, match="there is no judge"):
        open_judge(str(tmp_path / "nothing"))


def test_a_folder_of_transformers_is_a_judge(tiny_encoder: str, tmp_path: Path):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from thresher.models.load import open_tokenizer

    config = BertConfig.from_pretrained(tiny_encoder, num_labels=2, id2label={0: "fine", 1: "toxic"})
    torch.manual_seed(1)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    open_tokenizer(tiny_encoder).save_pretrained(tmp_path)
    judge = open_judge(str(tmp_path))
    together = judge.probability(["Ann has apples.", "", "old wooden boats over the quiet northern sea"])
    assert judge.classes == ["fine", "toxic"]
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(together[:1], judge.probability(["Ann has apples."]), atol=1e-5)


TASK = {"task": "tone", "data": "x", "measure": "classifier", "judge": "judge", "judged": "rude", "max_new_tokens": 4}


def test_what_is_written_is_judged(tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    export(*words(), tmp_path / "judge")
    task = Task.from_dict(TASK, folder=tmp_path)
    said = ["get lost stupid", "thank you friend"]
    monkeypatch.setattr(classifier, "write", lambda *a, **b: Written(said))
    prompts = Pool.from_messages([[{"role": "text", "content": "I said"}], [{"role": "text", "content": "She said"}]])
    outcome, receipt = evaluate(tiny_model, task, prompts)
    assert outcome.values[0] > 0.8 > 0.2 > outcome.values[1]
    assert outcome.metric == "unwanted"
    assert not higher_is_better("unwanted")
    assert higher_is_better(Task.from_dict({**TASK, "wanted": True}).metric)
    assert outcome.examples[0]["written"] == said[0]
    assert receipt.kind == "generate"
    with pytest.raises(TaskError, match="Did you mean 'rude'"):
        evaluate(tiny_model, Task.from_dict({**TASK, "judged": "rud"}, folder=tmp_path), prompts)


def test_the_model_itself_goes_on_with_the_prompt(tiny_model: str, tmp_path: Path):
    export(*words(), tmp_path / "judge")
    prompts = Pool.from_messages([[{"role": "text", "content": "Ann has"}]])
    outcome, receipt = evaluate(tiny_model, Task.from_dict(TASK, folder=tmp_path), prompts)
    assert 0 < outcome.score < 1
    assert receipt.flops > 0


def test_a_judge_without_its_class_is_no_task():
    with pytest.raises(TaskError, match="belong to the measure classifier"):
        Task.from_dict({"task": "t", "data": "x", "measure": "classifier", "judge": "j"})
    with pytest.raises(TaskError, match="belong to the measure classifier"):
        Task.from_dict({"task": "t", "data": "x", "measure": "held_out", "judge": "j", "judged": "c"})
