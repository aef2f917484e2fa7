"""The measures there are: the file that scores, its metrics, and whether the model writes for it.

A new measure is a file here with `score(opened, task, target) -> Outcome` and a line in this table. Its fields, if it
has any of its own, are fields of `task.Task`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One line of the table.

    Attributes:
        metrics: what it can report, the usual one first.
        writes: the model writes answers, instead of only reading rows.
        corpus: metrics that are of all rows together and not a mean over rows.
    """

    metrics: tuple[str, ...]
    writes: bool = False
    corpus: tuple[str, ...] = ()


MEASURES = {
    "held_out": Measure(("loss", "perplexity", "bits_per_byte"), corpus=("perplexity", "bits_per_byte")),
    "multiple_choice": Measure(("accuracy", "accuracy_token", "accuracy_character")),
    "exact_match": Measure(("exact_match",), writes=True),
    "summarization": Measure(
        ("rougeL", "rouge1", "rouge2", "rougeLsum", "bleu", "bert_score"), writes=True, corpus=("bleu",)
    ),
    "ifeval": Measure(("prompt_strict", "prompt_loose", "rule_strict", "rule_loose"), writes=True),
    "programs": Measure(("pass@1",), writes=True),
    "classifier": Measure(("unwanted", "wanted"), writes=True),
}
