"""Test rows that stand in a pool, word for word or nearly: looked for before a score is believed.

Exact   the words of a test row's prompt are the words of a pool row's prompt.
Near    at least half of the words of its prompt lie in n-grams that stand in one pool row, prompt or answer.

Words are lower-case, without punctuation. n is the 5 % point of the test prompts' lengths, at least 8 and at most 13; a
shorter prompt is only compared exactly. N-grams that several test rows share are the template's and count for nobody.

Source:  n-grams of 8 to 13 words by that rule: Brown et al. 2020 (GPT-3), arXiv:2005.14165, appendix C. The share of a
         text that matching n-grams cover: Touvron et al. 2023 (Llama 2), arXiv:2307.09288, appendix A.6.
Differs: the former calls one shared n-gram a collision; the latter counts matches from anywhere in the corpus, we from
         one row, so that half a question can be read in it. Paraphrases, translations and other numbers are not found.
"""

from __future__ import annotations

import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt64

from thresher.core.pool import Pool, prompt_of, text_of

SHARE = 0.5  # of a prompt's words
SHORTEST, LONGEST = 8, 13  # words of an n-gram
SHARED_BY = 3  # test rows: then it is the template's, unless the set is so small that it could be one row's copies
BLOCK = 4096  # pool rows at a time
SHOWN = 20  # pairs that are named
_BLANKS = str.maketrans(dict.fromkeys(string.punctuation + "“”‘’«»–—…¿¡", " "))
_ODD = 0x9E3779B97F4A7C15

Words = Sequence[str]


@dataclass(frozen=True)
class Contamination:
    """Where a pool holds test rows.

    Attributes:
        pairs: (test row, pool row, share of the test prompt's words found there) of each pair, 1 where exact.
        exact: test rows whose prompt stands in the pool as it is.
        near: other test rows of which at least half stands in one pool row.
        gram: words of an n-gram.
    """

    test: Pool
    pool: Pool
    pairs: tuple[tuple[int, int, float], ...]
    exact: Int[np.ndarray, " m"]
    near: Int[np.ndarray, " o"]
    gram: int

    @property
    def pool_rows(self) -> Int[np.ndarray, " m"]:
        """Rows of the pool that hold a test row, rising."""
        return np.unique(np.array([row for _, row, _ in self.pairs], np.int64))

    def within(self, chosen: Int[np.ndarray, " k"]) -> int:
        """How many test rows stand in some chosen rows."""
        held = set(np.asarray(chosen).tolist())
        return len({z for z, row, _ in self.pairs if row in held})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: the counts, the measure, and the first pairs by id."""
        tested, rows = self.test.table["id"], self.pool.table["id"]
        shown = sorted(self.pairs, key=lambda pair: -pair[2])[:SHOWN]
        return {
            "test": self.test.name, "rows": len(self.test), "exact": len(self.exact), "near": len(self.near),
            "pool_rows": [rows[int(i)].as_py() for i in self.pool_rows], "words_of_a_gram": self.gram,
            "share_of_words": SHARE,
            "pairs": [
                {"test": tested[z].as_py(), "pool": rows[row].as_py(), "share": round(share, 3)}
                for z, row, share in shown
            ],
        }  # fmt: skip


def contamination(pool: Pool, test: Pool) -> Contamination:
    """Test rows that stand in a pool; one pass over the pool, of which only candidates are compared in full."""
    asked = [words(_question(row)) for row in test.messages()]
    index = _Index(asked)
    pairs: list[tuple[int, int, float]] = []
    exact: set[int] = set()
    start = 0
    for _, part in pool.parts(BLOCK):
        rows = list(part.messages())
        texts = [words(text_of(row)) for row in rows]
        for place, row in enumerate(rows):
            same = index.whole.get(tuple(words(_question(row))), ())
            exact.update(same)
            pairs += [(z, start + place, 1.0) for z in same]
        known = {(z, row) for z, row, _ in pairs}
        for place, z in index.candidates(texts):
            share = index.covered(z, texts[place])
            if share >= SHARE and (z, start + place) not in known:
                pairs.append((z, start + place, share))
        start += len(rows)
    near = {z for z, _, _ in pairs} - exact
    order = tuple(sorted(pairs))
    return Contamination(test, pool, order, _rising(exact), _rising(near), index.gram)


def said(line: dict[str, Any]) -> str:
    """A warning in words; nothing where the pool holds no test row."""
    if not line["exact"] and not line["near"]:
        return ""
    text = (
        f"{line['task']}: of {line['rows']:,} test rows {line['exact']:,} stand in the pool and {line['near']:,} "
        f"nearly do, in {len(line['pool_rows']):,} of its rows"
    )
    chosen = line.get("selections")
    if chosen is None:
        return f"{text}."
    if not chosen:
        return f"{text}; none of those was chosen."
    worst = max(chosen, key=lambda name: chosen[name])
    return f"{text}; {len(chosen)} selections hold some, most {worst}: {chosen[worst]:,}."


def words(text: str) -> list[str]:
    """Lower-case, punctuation as blanks."""
    return text.lower().translate(_BLANKS).split()


def gram_size(lengths: Sequence[int]) -> int:
    """The 5 % point of the lengths, at least 8 and at most 13."""
    return int(np.clip(np.percentile(lengths, 5), SHORTEST, LONGEST)) if len(lengths) else LONGEST


class _Index:
    """What test prompts are recognised by."""

    def __init__(self, asked: Sequence[Words]) -> None:
        self.asked, self.gram = asked, gram_size([len(row) for row in asked])
        self.whole: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for z, row in enumerate(asked):
            if row:
                self.whole[tuple(row)].append(z)
        distinct = [rows[0] for rows in self.whole.values()]  # copies inside the test set share no template
        often = Counter(gram for z in distinct for gram in set(self._grams(asked[z])))
        self.template = {gram for gram, rows in often.items() if rows >= SHARED_BY}
        self.number = {word: i for i, word in enumerate(dict.fromkeys(w for row in asked for w in row), start=1)}
        hashed, _ = self._hashes(asked)
        own = [gram not in self.template for row in asked for gram in self._grams(row)]
        rows = [z for z, row in enumerate(asked) for _ in self._grams(row)]
        keep = np.array(own, bool) if own else np.zeros(0, bool)
        self.keys = np.unique(hashed[keep])
        self.of: defaultdict[int, set[int]] = defaultdict(set)
        for key, z in zip(hashed[keep].tolist(), np.array(rows, np.int64)[keep].tolist(), strict=True):
            self.of[key].add(z)

    def candidates(self, texts: Sequence[Words]) -> set[tuple[int, int]]:
        """(place in texts, test row) of every shared n-gram."""
        hashed, place = self._hashes(texts)
        hit = _among(hashed, self.keys)
        return {
            (at, z) for key, at in zip(hashed[hit].tolist(), place[hit].tolist(), strict=True) for z in self.of[key]
        }

    def covered(self, z: int, text: Words) -> float:
        """The share of a test prompt's words, the template's left out, that lie in n-grams of a text."""
        there = set(self._grams(text))
        found, own = np.zeros(len(self.asked[z]), bool), np.zeros(len(self.asked[z]), bool)
        for at, gram in enumerate(self._grams(self.asked[z])):
            if gram not in self.template:
                own[at : at + self.gram] = True
                found[at : at + self.gram] |= gram in there
        return float(found.sum() / own.sum()) if own.any() else 0.0

    def _grams(self, row: Words) -> list[tuple[str, ...]]:
        return [tuple(row[at : at + self.gram]) for at in range(len(row) - self.gram + 1)]

    def _hashes(self, texts: Sequence[Words]) -> tuple[UInt64[np.ndarray, " g"], Int[np.ndarray, " g"]]:
        """(hash, place of its text) of every n-gram all of whose words some test prompt has, in order."""
        get = self.number.get
        ids = np.array([i for text in texts for i in (*(get(word, 0) for word in text), 0)], np.uint64)
        place = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
        m = len(ids) - self.gram + 1
        if m <= 0:
            return np.zeros(0, np.uint64), np.zeros(0, np.int64)
        hashed = np.zeros(m, np.uint64)
        for at in range(self.gram):  # arrays wrap around, which is meant
            hashed += ids[at : at + m] * np.uint64(pow(_ODD, at, 1 << 64))
        unknown = np.concatenate([[0], np.cumsum(ids == 0)])
        whole = unknown[self.gram :] == unknown[:-self.gram]
        return hashed[whole], place[:m][whole]


def _among(values: UInt64[np.ndarray, " g"], keys: UInt64[np.ndarray, " u"]) -> Bool[np.ndarray, " g"]:
    if not len(keys):
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
    return np.asarray(keys[at] == values)


def _question(row: Sequence[Any]) -> str:
    """What is asked; of text without a prompt all of it."""
    return prompt_of(row) or text_of(row)


def _rising(rows: Iterable[int]) -> Int[np.ndarray, " m"]:
    return np.array(sorted(rows), np.int64)
