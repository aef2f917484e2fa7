"""How much likelier a row's words are under the target than under the pool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.errors import PoolError
from thresher.signals._counted import Counted, kept, used
from thresher.signals._ngrams import grams_of, mixed_buckets, sha256_buckets
from thresher.signals._shift import Shares, shift
from thresher.signals._texts import Text, texts

READ = 4096  # rows counted at a time, as many as the pipeline measures at a time
WORDS = re.compile(r"\w+|[^\w\s]+")
SMALLEST = 1e-8  # added to every share before its logarithm
SECONDS_PER_ROW = {"sha256": 3e-4, "mixed": 6e-5}  # benchmarks/dsir.py, 46 words a row, one thread


@dataclass(frozen=True)
class Fitted:
    """What prepare found; g = 1, or the target's groups."""

    log_ratio: Float[np.ndarray, "g buckets"]
    counted: Path  # n-gram buckets of the rows that were read for the pool's shares


@dataclass(frozen=True, kw_only=True)
class DSIR(Signal):
    """Log importance weight of hashed unigrams and bigrams.

        score_i = sum_h c_i(h) [ln(p_target(h) + 1e-8) - ln(p_pool(h) + 1e-8)]

    Source:  Xie et al. 2023, arXiv:2302.03169; equal to the PyPI package data-selection with `hash = "sha256"`.
    Differs: rows of any length (the paper leaves those under 100 words out: `min_words`). Words end at a combining
             mark, as when the package came out; with nltk 3.10 it takes marks for letters.
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
    version: ClassVar[int] = 2  # the shares of pool and target stay with the values
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
        """Bucket shares of target and pool, kept for `diagnose`; what was counted is kept for `measure`.

        Raises:
            PoolError: pool, target or a group of the target holds no word.
        """
        assert target is not None, "dsir needs a target: needs_target says so"
        counted = folder / "counted"
        names, wanted = self._of_target(target)
        there = self._of_pool(pool, counted)
        of = [f"{target.name}{name and f', group {name},'}" for name in names]
        for counts, words in ((there, pool.name), *zip(wanted, of, strict=True)):
            if not counts.sum():
                raise PoolError(f"{words} holds no word in its {self.text}: there is nothing to compare. Set `text`.")
        shares = Shares(names, wanted / wanted.sum(axis=1, keepdims=True), there / there.sum())
        shares.keep(folder)
        return Fitted(shares.log_ratio(SMALLEST), counted)

    def measure(self, state: Fitted, rows: Pool) -> Float[np.ndarray, " b"]:
        """(b,) nats; a row without words is as likely under both."""
        return self._weights(state, rows)[:, 0]

    def diagnose(self, folder: Path, pool: Pool, chosen: Int[np.ndarray, " k"]) -> dict[str, Any]:
        """How far the chosen rows' n-grams went from the pool's towards the target's, and by which n-grams."""
        rows = pool.take(chosen)
        grams = [gram for text in texts(rows, self.text) for gram in grams_of(WORDS.findall(text.lower()), self.n)]
        random = pool.take(np.random.default_rng(0).permutation(len(pool))[: len(chosen)])
        return shift(Shares.read(folder), grams, self._grams(rows)[0], self._grams(random)[0], SMALLEST)

    def _targets(self, target: Pool) -> tuple[list[str], Int[np.ndarray, " q"]]:
        """(g,) names, and which of them each target row belongs to: here the whole target is one."""
        return [""], np.zeros(len(target), np.int64)

    def _of_target(self, target: Pool) -> tuple[list[str], Float[np.ndarray, "g buckets"]]:
        """Names of the target's groups, and their n-grams by bucket."""
        names, group = self._targets(target)
        wanted = np.full(len(names) * self.buckets, self.pseudo_count)
        for number, rows in target.parts(READ):
            grams, counts = self._grams(rows)
            owner = np.repeat(group[number * READ : number * READ + len(rows)], counts)
            wanted += np.bincount(owner * self.buckets + grams, minlength=len(wanted))
        return names, wanted.reshape(len(names), self.buckets)

    def _of_pool(self, pool: Pool, folder: Path) -> Float[np.ndarray, " buckets"]:
        """The pool's n-grams by bucket, up to the row that goes beyond `fit_ngrams`."""
        there = np.zeros(self.buckets)
        limit = self.fit_ngrams or 100_000 * self.buckets
        for _, rows in pool.parts(READ):
            grams, counts = kept(folder, rows, self._grams)
            before = there.sum() + np.cumsum(counts) - counts
            fitting = int(np.searchsorted(before, limit, side="right"))  # the row that goes beyond still counts
            there += np.bincount(grams[: int(counts[:fitting].sum())], minlength=self.buckets)
            if fitting < len(counts):
                break
        return there

    def _weights(self, state: Fitted, rows: Pool) -> Float[np.ndarray, "b g"]:
        grams, counts = used(state.counted, rows, self._grams)
        owner = np.repeat(np.arange(len(rows)), counts)
        each = [np.bincount(owner, weights=ratio[grams], minlength=len(rows)) for ratio in state.log_ratio]
        score = np.stack(each, axis=1)
        return score / np.maximum(counts, 1)[:, None] if self.per_token else score

    def _grams(self, rows: Pool) -> Counted:
        """Buckets of every n-gram, row after row, and how many each row has."""
        words = [WORDS.findall(text.lower()) for text in texts(rows, self.text)]
        count = sha256_buckets if self.hash == "sha256" else mixed_buckets
        grams = count(words, self.n, self.buckets).astype(np.uint16 if self.buckets <= 1 << 16 else np.uint32)
        lengths = np.array([len(row) for row in words], np.int64)
        return grams, sum(np.maximum(lengths - shorter, 0) for shorter in range(self.n))

