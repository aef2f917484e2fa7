"""How much likelier a row's words are under the target than under the pool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Integer

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.core.store import writing
from thresher.errors import PoolError
from thresher.signals._ngrams import Sha256Buckets, WordHashes, joined
from thresher.signals._texts import Text, texts

READ = 4096  # rows counted at a time, as many as the pipeline measures at a time
WORDS = re.compile(r"\w+|[^\w\s]+")
SMALLEST = 1e-8  # added to every share before its logarithm
SECONDS_PER_ROW = {"sha256": 3e-4, "mixed": 6e-5}  # benchmarks/dsir.py, 46 words a row, one thread


Counted = tuple[Integer[np.ndarray, " m"], Integer[np.ndarray, " b"]]


@dataclass(frozen=True)
class Fitted:
    """What prepare found."""

    log_ratio: Float[np.ndarray, " buckets"]
    counted: Path  # n-gram buckets of the rows that were read for the pool's shares


@dataclass(frozen=True, kw_only=True)
class DSIR(Signal):
    """Log importance weight of hashed unigrams and bigrams.

        score_i = sum_h c_i(h) [ln(p_target(h) + 1e-8) - ln(p_pool(h) + 1e-8)]

    Source:  Xie et al. 2023, arXiv:2302.03169; equal to the PyPI package data-selection with `hash = "sha256"`.
    Differs: rows of any length (the paper leaves those under 100 words out: `min_words`); one target at a time. Words
             end at a combining mark, as when the package came out; with nltk 3.10 it takes marks for letters.
    Cost:    no FLOPs; one pass of tokenising on the CPU, another where parts are not 4,096 rows.
    """

    text: Annotated[Text, "what of a row is read, in pool and target"] = "row"
    buckets: Annotated[int, "as in the paper; more make the score depend less on the hash"] = 10_000
    n: Annotated[int, "n-grams up to so many words"] = 2
    hash: Annotated[Literal["sha256", "mixed"], "as in the paper, or integers mixed: faster, other buckets"] = "sha256"
    pseudo_count: Annotated[float, "added to every bucket of the target"] = 0.0
    per_token: Annotated[bool, "divide by the number of n-grams (not in the paper)"] = False
    min_words: Annotated[int, "leave shorter rows out"] = 0
    fit_ngrams: Annotated[int | None, "the pool's shares come from the first so many; None: 100,000 a bucket"] = None

    kind: ClassVar[Kind] = "score"
    needs_target: ClassVar[bool] = True

    def cost(self, load: Load) -> Cost:
        """CPU time from measured rates."""
        return Cost(cpu_seconds=(load.n + load.q) * SECONDS_PER_ROW[self.hash])

    def usable(self, pool: Pool) -> np.ndarray | None:
        """(n,) rows with enough words."""
        if not self.min_words:
            return None
        return np.array([len(WORDS.findall(text.lower())) >= self.min_words for text in texts(pool, self.text)])

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Fitted:
        """Bucket shares of target and pool; what was counted is kept for `measure`.

        Raises:
            PoolError: target or pool holds no word.
        """
        assert target is not None, "dsir needs a target: needs_target says so"
        counted = folder / "counted"
        with writing(counted):
            counted.mkdir(parents=True, exist_ok=True)
        wanted, there = np.zeros(self.buckets), np.zeros(self.buckets)
        for _, rows in target.parts(READ):
            wanted += np.bincount(self._grams(rows)[0], minlength=self.buckets)
        limit = self.fit_ngrams or 100_000 * self.buckets
        for _, rows in pool.parts(READ):
            grams, counts = self._kept(rows, counted)
            before = there.sum() + np.cumsum(counts) - counts
            fitting = int(np.searchsorted(before, limit, side="right"))  # the row that goes beyond still counts
            there += np.bincount(grams[: int(counts[:fitting].sum())], minlength=self.buckets)
            if fitting < len(counts):
                break
        wanted += self.pseudo_count
        for counts, of in ((wanted, target), (there, pool)):
            if not counts.sum():
                raise PoolError(f"{of.name} holds no word in its {self.text}: there is nothing to compare. Set `text`.")
        log_target, log_pool = (np.log(counts / counts.sum() + SMALLEST) for counts in (wanted, there))
        return Fitted(log_target - log_pool, counted)

    def measure(self, state: Fitted, rows: Pool) -> Float[np.ndarray, " b"]:
        """(b,) nats; a row without words is as likely under both."""
        path = state.counted / f"{rows.fingerprint}.npz"
        grams, counts = _read(path) if path.exists() else self._grams(rows)
        path.unlink(missing_ok=True)  # whoever measures these rows again counts them again
        owner = np.repeat(np.arange(len(rows)), counts)
        score = np.bincount(owner, weights=state.log_ratio[grams], minlength=len(rows))
        return score / np.maximum(counts, 1) if self.per_token else score

    def _kept(self, rows: Pool, folder: Path) -> Counted:
        """The rows' n-grams, counted once: `measure` finds them in the folder."""
        path = folder / f"{rows.fingerprint}.npz"
        if path.exists():
            return _read(path)
        found = self._grams(rows)
        with writing(path):
            part = path.with_suffix(".part.npz")
            np.savez(part, grams=found[0], counts=found[1])
            part.replace(path)
        return found

    def _grams(self, rows: Pool) -> Counted:
        """Buckets of every n-gram, row after row, and how many each row has."""
        words = [WORDS.findall(text.lower()) for text in texts(rows, self.text)]
        count = _sha256 if self.hash == "sha256" else _mixed
        grams = count(words, self.n, self.buckets).astype(np.uint16 if self.buckets <= 1 << 16 else np.uint32)
        lengths = np.array([len(row) for row in words], np.int64)
        return grams, sum(np.maximum(lengths - shorter, 0) for shorter in range(self.n))


def _read(path: Path) -> Counted:
    with np.load(path) as found:
        return found["grams"], found["counts"]


def _sha256(words: list[list[str]], n: int, buckets: int) -> Integer[np.ndarray, " m"]:
    """Of each row its words, then its pairs, ...: hashed as strings, joined by one blank."""
    bucket = _remembered(buckets).__getitem__
    found: list[int] = []
    for row in words:
        found += map(bucket, row)
        for length in range(2, n + 1):
            found += map(bucket, map(" ".join, zip(*(row[i:] for i in range(length)), strict=False)))
    return np.array(found, np.int64)


@lru_cache(maxsize=2)
def _remembered(buckets: int) -> Sha256Buckets:
    return Sha256Buckets(buckets)


def _mixed(words: list[list[str]], n: int, buckets: int) -> Integer[np.ndarray, " m"]:
    """The same of 64-bit hashes of words, mixed by arithmetic."""
    lengths = [len(row) for row in words]
    one = np.fromiter(map(_WORDS.__getitem__, chain.from_iterable(words)), np.uint64, sum(lengths))
    owner = np.repeat(np.arange(len(words), dtype=np.uint16 if len(words) <= 1 << 16 else np.int64), lengths)
    grams, rows = joined(one, owner, n)
    return (grams % np.uint64(buckets)).astype(np.int64)[np.argsort(rows, kind="stable")]


_WORDS = WordHashes()
