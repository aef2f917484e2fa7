"""Written texts against reference texts: ROUGE, BLEU, BERTScore, each by the library that is kept for it.

rouge1, rouge2, rougeL, rougeLsum  F-measure from 0 to 1 with stemming (rouge-score); rougeLsum splits at newlines
bleu                               corpus BLEU from 0 to 100 (sacrebleu, tokenised as 13a); values are sentence BLEU
bert_score                         F1 by a local encoder (bert-score); an empty text has 0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float

from thresher.core.pool import Pool
from thresher.errors import TaskError
from thresher.evaluation import bertscore, corpus
from thresher.evaluation.outcome import Outcome, mean_of, together
from thresher.evaluation.task import Task
from thresher.evaluation.writing import Written, write
from thresher.models.load import Opened
from thresher.models.served import Served

BLEU_ORDER = 4  # n-grams


def score(opened: Opened | Served, task: Task, target: Pool) -> Outcome:
    """Each of the task's metrics of what was written against the references.

    Raises:
        TaskError: a row without a reference, or a library that is not installed.
    """  # noqa: DOC502
    references = task.references(target)
    for metric in task.named:
        library_of(metric)  # before an hour of writing
    written = write(opened, task, target)
    texts, wanted = [task.extracted(text) for text in written.texts], written.each(references)
    examples = written.shown(reference=[text[:400] for text in wanted])
    outcomes, notes = [], list(written.notes)
    rouge = [metric for metric in task.named if metric.startswith("rouge")]
    values = dict(zip(rouge, rouge_values(texts, wanted, rouge), strict=True))
    for metric in task.named:
        if metric == "bleu":
            outcomes.append(_bleu(task, texts, wanted, written))
            continue
        if metric == "bert_score":
            values[metric], note = bertscore.values(task, texts, wanted)
            notes.append(note)
        outcomes.append(mean_of(task.task, metric, written.rows(values[metric])))
    first, *more = outcomes
    return together([_with(first, examples, tuple(notes)), *more])


def rouge_values(texts: Sequence[str], references: Sequence[str], kinds: Sequence[str]) -> list[np.ndarray]:
    """One (n,) array of F-measures for each kind."""
    if not kinds:
        return []
    scorer = library_of("rouge1").RougeScorer(list(kinds), use_stemmer=True)
    found = [scorer.score(reference, text) for reference, text in zip(references, texts, strict=True)]
    return [np.array([one[kind].fmeasure for one in found], np.float64) for kind in kinds]


def bleu_values(
    texts: Sequence[str], references: Sequence[str], seed: int = 0
) -> tuple[float, float, Float[np.ndarray, " n"], str]:
    """(corpus BLEU, its standard error over bootstrap samples of the rows, (n,) sentence BLEU, sacrebleu's signature).

    The counts of a corpus are the sums of its sentences' counts, so a bootstrap sample needs no counting anew.
    """
    metrics = library_of("bleu")
    whole, alone = metrics.BLEU(), metrics.BLEU(effective_order=True)
    each = [alone.sentence_score(text, [reference]) for text, reference in zip(texts, references, strict=True)]
    counts = np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in each], np.float64)

    def of_sums(sums: np.ndarray) -> float:
        parts = [int(number) for number in sums]
        found = metrics.BLEU.compute_bleu(
            correct=parts[:BLEU_ORDER], total=parts[BLEU_ORDER : 2 * BLEU_ORDER], sys_len=parts[-2],
            ref_len=parts[-1], smooth_method="exp",
        )  # fmt: skip
        return float(found.score)

    found = whole.corpus_score(list(texts), [list(references)])
    values = np.array([one.score for one in each], np.float64)
    return float(found.score), corpus.resampled(counts, of_sums, seed), values, str(whole.get_signature())


def library_of(metric: str) -> Any:
    """The library behind a metric.

    Raises:
        TaskError: it is not installed.
    """  # noqa: DOC501
    name, package = {"bleu": ("sacrebleu.metrics", "sacrebleu"), "bert_score": ("bert_score", "bert-score")}.get(
        metric, ("rouge_score.rouge_scorer", "rouge-score")
    )
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != name.split(".")[0]:
            raise
        raise TaskError(f"the metric {metric} needs the package {package}: pip install 'thresher[eval]'.") from None


def _bleu(task: Task, texts: Sequence[str], wanted: Sequence[str], written: Written) -> Outcome:
    value, se, values, signature = bleu_values(texts, wanted, task.seed)
    rows = written.rows(values)
    return Outcome(task.task, "bleu", value, se, len(rows), rows, ({"sacrebleu": signature},))


def _with(outcome: Outcome, examples: tuple[dict[str, str], ...], notes: tuple[str, ...]) -> Outcome:
    return replace(outcome, examples=(*outcome.examples, *examples), notes=notes)
