"""A row's words and word pairs, hashed into a vector: a place in space without any model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from jaxtyping import Float32
from scipy import sparse

from thresher.core.cost import Cost, Load
from thresher.core.method import Kind, Signal
from thresher.core.pool import Pool
from thresher.core.store import write_bytes
from thresher.signals._ngrams import gram_hashes
from thresher.signals._terms import tokens
from thresher.signals._texts import Text, texts

READ = 4096  # rows tokenised at a time
SECONDS_PER_ROW, SECONDS_PER_NUMBER = 2e-4, 4e-10  # two readings, one dense vector; one thread


@dataclass(frozen=True, kw_only=True)
class HashedNgrams(Signal):
    """TF-IDF of word n-grams in d buckets, counts damped, of length one.

        x_ih = (1 + ln c_ih) (1 + ln (1 + n) / (1 + n_h))     where c_ih > 0; then x_i / |x_i|

    c_ih: n-grams of row i in bucket h; n_h: rows with one in it. A row without words is the zero vector.

    Source:  Weinberger et al. 2009, arXiv:0902.2206, for hashing; the rest is textbook TF-IDF.
    Differs: counts keep their sign; buckets are the same in every process and on every machine.
    Cost:    no FLOPs; two passes of tokenising, and 4 d bytes a row in the store.
    """

    text: Annotated[Text, "what of a row is read"] = "row"
    n: Annotated[int, "n-grams up to so many words"] = 2
    d: Annotated[int, "buckets"] = 4096

    kind: ClassVar[Kind] = "feature"

    def sizes(self, pool: Pool, target: Pool | None) -> Load:
        """Rows and buckets."""
        return Load(n=len(pool), tokens=0, d=self.d, q=len(target) if target is not None else 0)

    def cost(self, load: Load) -> Cost:
        """CPU time from measured rates."""
        numbers = load.n * self.d
        return Cost(cpu_seconds=load.n * SECONDS_PER_ROW + numbers * SECONDS_PER_NUMBER, disk_bytes=4.0 * numbers)

    def prepare(self, pool: Pool, target: Pool | None, folder: Path) -> Float32[np.ndarray, " d"]:
        """(d,) the weight of each bucket, counted over the pool once."""
        path = folder / f"idf-{self.n}-{self.d}.f32"
        if not path.exists():
            held = np.zeros(self.d, np.int64)
            for _, rows in pool.parts(READ):
                held += np.bincount(self._counts(rows).indices, minlength=self.d)
            idf = (1 + np.log((1 + len(pool)) / (1 + held))).astype(np.float32)
            write_bytes(path, idf.tobytes())
        return np.frombuffer(path.read_bytes(), np.float32)

    def measure(self, state: Float32[np.ndarray, " d"], rows: Pool) -> Float32[np.ndarray, "b d"]:
        """(b, d) every row's vector."""
        weight = self._counts(rows)
        weight.data = (1 + np.log(weight.data)) * state[weight.indices]
        length = np.sqrt(np.asarray(weight.multiply(weight).sum(axis=1)).ravel())
        weight.data /= np.repeat(np.maximum(length, np.finfo(np.float32).tiny), np.diff(weight.indptr))
        return weight.toarray().astype(np.float32, copy=False)

    def _counts(self, rows: Pool) -> sparse.csr_array:
        """(b, d) n-grams of each row in each bucket."""
        words = tokens(pa.array(texts(rows, self.text), pa.large_string()), "words")
        hashes, owner = gram_hashes(words, self.n)
        bucket = (hashes % np.uint64(self.d)).astype(np.int32)
        out = sparse.coo_array((np.ones(len(bucket), np.float32), (owner, bucket)), shape=(len(rows), self.d)).tocsr()
        out.sum_duplicates()
        return out
