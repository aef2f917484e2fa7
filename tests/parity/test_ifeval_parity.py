"""IFEval's rules against lm-evaluation-harness's own, on the published prompts and texts made to hit and miss."""

from __future__ import annotations

import gzip
import json
import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from thresher.evaluation import ifeval, rules

TARGETS = Path(__file__).parents[3] / "shared" / "data" / "targets" / "ifeval.test.jsonl.gz"
pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm_eval is not installed"),
    pytest.mark.skipif(find_spec("langdetect") is None, reason="langdetect is not installed"),
    pytest.mark.skipif(not TARGETS.exists(), reason="../shared/data is not there"),
]
PIECES = (
    "* a point\n", "- another\n", "*high*", "**higher**", "<<A Title>>\n", "[name]", "P.S. see you", "P.P.S more",
    "\n\n", "******", "\n***\n", '"', "My answer is no.", "NASA AND ESA", "one, two", "It ends here. Does it? Yes!",
    '{"a": 1}', "```json\n[1]\n```", "SECTION 1 x SECTION 2 y", "the quick brown fox jumps over the lazy dog. ",
)  # fmt: skip


def texts(row: dict, draw: random.Random) -> list[str]:
    """The prompt's own words, its rules' values and pieces that rules look for, mixed; paragraphs of a first word."""
    values = [str(v) for of in row["kwargs"] for v in of.values() if isinstance(v, str)]
    words = [str(w) for of in row["kwargs"] for v in of.values() if isinstance(v, list) for w in v]
    mixed = [
        "".join(draw.choices([*PIECES, *values, *(f"{w} " for w in words), row["prompt"] + " "], k=draw.randint(1, 9)))
        for _ in range(4)
    ]
    paragraphs = ["\n\n".join([f"{of['first_word']} it is."] * of["num_paragraphs"])
                  for of in row["kwargs"] if of.get("first_word")]  # fmt: skip
    return [row["prompt"], row["prompt"].lower(), row["prompt"].upper(), *mixed, *paragraphs]


def test_every_rule_agrees(monkeypatch: pytest.MonkeyPatch):
    import langdetect
    import nltk

    langdetect.DetectorFactory.seed = 0
    # the trained parameters would be downloaded: both sides split sentences and words as ours does
    monkeypatch.setattr(nltk.data, "find", lambda *_, **__: True)
    from lm_eval.tasks.ifeval import instructions_util, utils

    monkeypatch.setattr(instructions_util, "count_sentences", lambda text: len(rules.sentences(text)))
    monkeypatch.setattr(instructions_util.nltk, "word_tokenize", rules.words)
    with gzip.open(TARGETS, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    draw, seen = random.Random(0), {}
    for row in rows:
        wanted = ifeval.rules_of("ifeval", row, row["id"])
        asked = utils.InputExample(row["key"], row["instruction_id_list"], row["prompt"], row["kwargs"])
        for text in texts(row, draw):
            strict = utils.test_instruction_following_strict(asked, text).follow_instruction_list
            loose = utils.test_instruction_following_loose(asked, text).follow_instruction_list
            ours = zip(wanted, ifeval.strict(text, wanted), ifeval.loose(text, wanted), strict, loose, strict=True)
            for (name, values), mine, mine_loosely, theirs, theirs_loosely in ours:
                if not str(values.get("letter", "a")).isalpha():
                    continue  # the harness counts a letter it draws instead
                assert (mine, mine_loosely) == (theirs, theirs_loosely), (row["id"], name, values, text)
                seen.setdefault(name, set()).add(theirs)
    assert set(seen) == set(rules.RULES)
    one_sided = {name for name, kept in seen.items() if len(kept) < 2}
    assert not one_sided, "every rule was kept by some text and not by another"
