"""Local text classifiers that say of a text which class it is: the judges of what a model writes.

A folder with config.json      a transformers sequence classifier (safetensors)
A folder with judge.json       a linear classifier over words, written by `export` from scikit-learn; plain numbers
A .joblib or .pkl file         any scikit-learn text pipeline; opening one runs code that is in it
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from thresher.compute import flops, meter
from thresher.core.store import write_bytes
from thresher.errors import TaskError

LINEAR = "judge.json"
WORDS = ("analyzer", "binary", "lowercase", "ngram_range", "norm", "smooth_idf", "sublinear_tf", "strip_accents",
         "token_pattern", "use_idf")  # fmt: skip
TOKENS = 512  # of a text, at most
AT_ONCE = 32  # texts


class Judge(ABC):
    """A classifier that is open."""

    classes: list[str]

    @abstractmethod
    def probability(self, texts: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Of each class, for each text."""


class Fitted(Judge):
    """Anything with `predict_proba` over texts."""

    def __init__(self, pipeline: Any) -> None:  # noqa: ANN401
        self.pipeline, self.classes = pipeline, [str(name) for name in pipeline.classes_]

    def probability(self, texts: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Of each class, for each text."""
        return np.asarray(self.pipeline.predict_proba(list(texts)), np.float64)


class Reader(Judge):
    """A transformers sequence classifier; its passes are on the meter."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForSequenceClassification

        from thresher.models import load
        from thresher.models.quiet import quiet

        with quiet():
            self.model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True).eval()
        self.tokenizer = load.open_tokenizer(str(folder))
        self.pad = load.padding(self.tokenizer)[0]
        self.architecture = flops.Architecture.of_model(self.model)
        names = self.model.config.id2label
        self.classes = [str(names[i]) for i in range(len(names))]

    def probability(self, texts: Sequence[str]) -> Float[np.ndarray, "n k"]:
        """Of each class, for each text."""
        import torch

        out = []
        for start in range(0, len(texts), AT_ONCE):
            some = [text or " " for text in texts[start : start + AT_ONCE]]
            ids = [self.tokenizer(text, truncation=True, max_length=TOKENS)["input_ids"] for text in some]
            s = max(map(len, ids))
            full = torch.full((len(ids), s), self.pad)
            mask = torch.zeros((len(ids), s), dtype=torch.long)
            for i, row in enumerate(ids):
                full[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
            with torch.inference_mode():
                out.append(self.model(input_ids=full, attention_mask=mask).logits.float().softmax(-1).numpy())
            meter.count(flops=flops.embed(self.architecture, full.numel(), full.numel() * s), tokens=full.numel())
        return np.concatenate(out).astype(np.float64)


def open_judge(path: str, *, trust_pickle: bool = False) -> Judge:
    """A classifier from a folder or file.

    Args:
        path: see the head of this file.
        trust_pickle: open .joblib and .pkl files, which can run any code.

    Raises:
        TaskError: it is not there, or is nothing that may be opened.
    """
    place = Path(path)
    if (place / LINEAR).is_file():
        return Fitted(_linear(json.loads((place / LINEAR).read_text(encoding="utf-8"))))
    if (place / "config.json").is_file():
        try:
            return Reader(place)
        except (OSError, ValueError, KeyError) as error:
            raise TaskError(f"the judge {place} cannot be opened as a sequence classifier: {error}") from error
    if place.suffix in (".joblib", ".pkl") and place.is_file():
        if not trust_pickle:
            raise TaskError(
                f"the judge {place} is a pickle, and opening one runs whatever code is in it. If you made it, set "
                "trust_pickle: true in the task; better, write it with thresher.evaluation.judges.export."
            )
        try:
            import joblib
        except ModuleNotFoundError:
            raise TaskError(f"opening {place} needs scikit-learn: pip install 'thresher[judge]'.") from None
        return Fitted(joblib.load(place))
    raise TaskError(
        f"there is no judge {place}. Name a folder of a transformers sequence classifier, a folder that "
        "thresher.evaluation.judges.export wrote, or a .joblib file with trust_pickle: true."
    )


def export(vectoriser: Any, classifier: Any, folder: Path) -> Path:  # noqa: ANN401
    """A fitted TfidfVectorizer and LogisticRegression as numbers, which can be opened without trust.

    Raises:
        TaskError: something else, or a setting that is code.
    """
    kinds = (type(vectoriser).__name__, type(classifier).__name__)
    if kinds != ("TfidfVectorizer", "LogisticRegression"):
        raise TaskError(f"export writes a TfidfVectorizer and a LogisticRegression, not {' and '.join(kinds)}.")
    settings = {name: getattr(vectoriser, name) for name in WORDS}
    for name in ("preprocessor", "tokenizer", "stop_words"):
        if getattr(vectoriser, name) is not None:
            raise TaskError(f"export writes no {name}: set it to None.")
    about = {
        "vectoriser": settings,
        "vocabulary": {word: int(place) for word, place in vectoriser.vocabulary_.items()},
        "idf": vectoriser.idf_.tolist() if vectoriser.use_idf else None,
        "classes": [str(name) for name in classifier.classes_],
        "coefficients": classifier.coef_.tolist(),
        "intercepts": classifier.intercept_.tolist(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / LINEAR, json.dumps(about, ensure_ascii=False).encode())
    return folder


def _linear(about: dict[str, Any]) -> Any:  # noqa: ANN401
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    settings = {name: about["vectoriser"][name] for name in WORDS}
    settings["ngram_range"] = tuple(settings["ngram_range"])
    vectoriser = TfidfVectorizer(**settings, vocabulary=about["vocabulary"])
    vectoriser.fixed_vocabulary_, vectoriser.vocabulary_ = True, about["vocabulary"]
    if about["idf"] is not None:
        vectoriser.idf_ = np.array(about["idf"])
    classifier = LogisticRegression()
    classifier.classes_ = np.array(about["classes"])
    classifier.coef_, classifier.intercept_ = np.array(about["coefficients"]), np.array(about["intercepts"])
    classifier.n_features_in_ = classifier.coef_.shape[1]
    return make_pipeline(vectoriser, classifier)
