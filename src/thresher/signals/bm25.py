"""Lexical match of each row with each target row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int
from scipy import sparse

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.signals._terms import counts, lengths, text_bytes, tokens
from thresher.signals._texts import group_texts, texts

READ = 4096  # rows tokenised at a time: bounds the memory of a large part
QUERIES = 256  # queries multiplied at a time
SECONDS_PER_ROW, SECONDS_PER_TERM, SECONDS_PER_POSTING = 4e-6, 1e-7, 6e-10  # benchmarks/scale.py, one core


@dataclass(frozen=True)
class Counted:
    """What the whole pool and the target say about terms; v = different terms of the queries."""

    terms: pa.Array  # (v,)
    idf: Float32[np.ndarray, " v"]
    mean_length: float  # terms of a pool row
    queries: sparse.csr_array  # (v, q) how often each query holds each term


@dataclass(frozen=True, kw_only=True)
class BM25(Signal):
    """Okapi BM25 of pool rows as documents and target rows as queries, in idf-weighted term matches.

        a_iz = sum over terms w of z, with repeats, of
               idf(w) f_iw (k1 + 1) / (f_iw + k1 (1 - beta + beta |i| / mean length))
        idf(w) = ln(1 + (n - n_w + 1/2) / (n_w + 1/2))                          plus-one
        idf(w) = ln(n - n_w + 1/2) - ln(n_w + 1/2), below zero: mean idf / 4    okapi

    Source:  Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework"; okapi, ccds and per_group_query
             as in the code of Yin & Rush 2025, arXiv:2410.16208.
    Differs: postings of the queries' terms only, made part by part, where bm25s wants the whole corpus in one
             index; equal to it (method atire, idf lucene), which a test holds. With per_group_query a turn is
             <|role|> newline content, the exact markers being not published.
    Cost:    no FLOPs; two passes of tokenising on the CPU, then time proportional to postings times q.
    """

    text: Annotated[
        Literal["row", "prompt", "answer", "first_user"], "what of a pool row is the document"
    ] = "row"
    query: Annotated[Literal["row", "prompt", "answer"], "what of a target row is the query"] = "row"
    k1: Annotated[float, "how slowly repeats of a term saturate"] = 1.5
    beta: Annotated[float, "how much length counts against a row, 0 to 1 (called b elsewhere)"] = 0.75
    idf: Annotated[Literal["plus-one", "okapi"], "the weight of a term"] = "plus-one"
    per_group_query: Annotated[bool, "one query per target group: its rows in chat markers, joined"] = False
    cleaning: Annotated[Literal["words", "ccds"], "runs of letters or digits; or split on single blanks"] = (
        "words"
    )

    kind: ClassVar[Kind] = "affinity"
    version: ClassVar[int] = 2  # where some rows of the target have no group, their column comes first
    needs_target: ClassVar[bool] = True

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Rows and about how many terms they have: bytes of text over six."""
        load = super().sizes(pool, target)
        return Load(n=load.n, q=load.q, tokens=text_bytes(pool) // 6)

    def cost(self, load: Load) -> Cost:
        """CPU time from measured rates."""
        terms = load.tokens or 150 * load.n
        return Cost(
            cpu_seconds=load.n * SECONDS_PER_ROW
            + terms * (2 * SECONDS_PER_TERM + load.q * SECONDS_PER_POSTING)
        )

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Counted:
        """Count queries, document frequencies and the mean length."""
        assert target is not None, "bm25 needs a target: needs_target says so"
        words = tokens(pa.array(self._queries(target), pa.large_string()), self.cleaning)
        terms = words.values.unique()
        queries = counts(words, terms)  # (q, v)
        n_w, terms_of_pool, all_n_w = self._frequencies(pool, terms)
        idf = self._idf(n_w, len(pool), all_n_w)
        mean_length = terms_of_pool / len(pool) if terms_of_pool else 1.0
        return Counted(terms, idf, mean_length, queries.T.tocsr())

    def measure(self, state: Counted, rows: Pool) -> Float32[np.ndarray, "b q"]:
        """(b, q) every row against every query."""
        out = np.empty((len(rows), state.queries.shape[1]), np.float32)
        start = 0
        for words in self._documents(rows):
            weight = self._weights(state, words)  # (b, v)
            for first in range(0, out.shape[1], QUERIES):
                block = state.queries[:, first : first + QUERIES].toarray()  # (v, q)
                out[start : start + len(words), first : first + QUERIES] = weight @ block
            start += len(words)
        return out

    def _weights(self, state: Counted, words: pa.ListArray) -> sparse.csr_array:
        """(b, v) what one occurrence of a term in a query adds to a row."""
        weight = counts(words, state.terms)
        length = np.repeat(lengths(words) / state.mean_length, np.diff(weight.indptr))  # one for each posting
        damping = np.float32(self.k1) * (1 - self.beta + self.beta * length).astype(np.float32)
        weight.data *= np.float32(self.k1 + 1) / (weight.data + damping)
        weight.data *= state.idf[weight.indices]
        return weight

    def _frequencies(
        self, pool: Pool, terms: pa.Array
    ) -> tuple[Int[np.ndarray, " v"], int, Int[np.ndarray, " all"]]:
        """(rows that hold each query term, terms in the whole pool, rows that hold each term of the pool)."""
        n_w, total = np.zeros(len(terms), np.int64), 0
        everywhere: dict[str, int] = {}
        for _, part in pool.parts(READ):
            for words in self._documents(part):
                total += int(lengths(words).sum())
                n_w += np.bincount(counts(words, terms).indices, minlength=len(terms))
                if self.idf == "okapi":
                    own = words.values.unique()
                    held = np.bincount(counts(words, own).indices, minlength=len(own))
                    for term, rows in zip(own.to_pylist(), held.tolist(), strict=True):
                        everywhere[term] = everywhere.get(term, 0) + rows
        return n_w, total, np.fromiter(everywhere.values(), np.int64, len(everywhere))

    def _idf(
        self, n_w: Int[np.ndarray, " v"], n: int, all_n_w: Int[np.ndarray, " all"]
    ) -> Float32[np.ndarray, " v"]:
        if self.idf == "plus-one":
            return np.log1p((n - n_w + 0.5) / (n_w + 0.5)).astype(np.float32)
        idf, every = (np.log(n - held + 0.5) - np.log(held + 0.5) for held in (n_w, all_n_w))
        return np.where(idf < 0, 0.25 * every.mean() if every.size else 0.0, idf).astype(np.float32)

    def _documents(self, rows: Pool) -> Iterator[pa.ListArray]:
        """The terms of the rows, some rows at a time."""
        for _, some in rows.parts(READ):
            yield tokens(pa.array(texts(some, self.text), pa.large_string()), self.cleaning)

    def _queries(self, target: Pool) -> list[str]:
        """(q,) one for each target row, or for each group: rows without one first, then by name."""
        if not self.per_group_query:
            return {"row": target.text, "prompt": target.prompt, "answer": target.answer}[self.query]()
        return group_texts(target)
