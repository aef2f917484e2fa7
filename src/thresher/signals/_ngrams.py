"""Word n-grams as integers that are the same in every process and on every machine."""

from __future__ import annotations

import hashlib
import zlib
from functools import lru_cache
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Integer, UInt64

REMEMBERED = 2_000_000  # some 300 MB of n-grams
NEXT = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: odd, its bits without pattern
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # of Steele, Lea & Flood's splitmix64


def gram_hashes(words: pa.ListArray, n: int) -> tuple[UInt64[np.ndarray, " m"], Integer[np.ndarray, " m"]]:
    """Hashes of all n-grams of up to n words, and the row each is of: unigrams of all rows first, then bigrams, ..."""
    coded = pc.dictionary_encode(words.flatten())
    distinct = np.array([word_hash(word) for word in coded.dictionary.to_pylist()], np.uint64)
    one = distinct[coded.indices.to_numpy()] if len(coded) else np.zeros(0, np.uint64)
    counts = pc.list_value_length(words).to_numpy(zero_copy_only=False)
    return joined(one, np.repeat(np.arange(len(words)), counts), n)


def joined(
    one: UInt64[np.ndarray, " w"], owner: Integer[np.ndarray, " w"], n: int
) -> tuple[UInt64[np.ndarray, " m"], Integer[np.ndarray, " m"]]:
    """N-grams from the hashes of words in a row of rows."""
    grams, rows = [mixed(one)], [owner]
    longer = one
    for length in range(2, n + 1):
        longer = longer[:-1] * NEXT + one[length - 1 :]  # wraps around, on purpose
        whole = owner[: len(longer)] == owner[length - 1 :]  # no n-gram spans two rows
        grams.append(mixed(longer[whole]))
        rows.append(owner[: len(longer)][whole])
    return np.concatenate(grams), np.concatenate(rows)


def sha256_buckets(words: list[list[str]], n: int, buckets: int) -> Integer[np.ndarray, " m"]:
    """Of each row its words, then its pairs, ...: hashed as strings, joined by one blank."""
    bucket = _remembered(buckets).__getitem__
    found: list[int] = []
    for row in words:
        found += map(bucket, grams_of(row, n))
    return np.array(found, np.int64)


def mixed_buckets(words: list[list[str]], n: int, buckets: int) -> Integer[np.ndarray, " m"]:
    """The same of 64-bit hashes of words, mixed by arithmetic."""
    lengths = [len(row) for row in words]
    one = np.fromiter(map(_WORDS.__getitem__, chain.from_iterable(words)), np.uint64, sum(lengths))
    owner = np.repeat(np.arange(len(words), dtype=np.uint16 if len(words) <= 1 << 16 else np.int64), lengths)
    grams, rows = joined(one, owner, n)
    return (grams % np.uint64(buckets)).astype(np.int64)[np.argsort(rows, kind="stable")]


def grams_of(words: list[str], n: int) -> chain[str]:
    """A row's words, then its pairs, ... up to n words, as strings."""
    longer = (map(" ".join, zip(*(words[i:] for i in range(length)), strict=False)) for length in range(2, n + 1))
    return chain(words, *longer)


def word_hash(word: str) -> int:
    """Sixty-four bits of one word."""
    data = word.encode("utf-8", "surrogatepass")
    return zlib.crc32(data) << 32 | zlib.adler32(data) ^ len(data)


def mixed(hashes: UInt64[np.ndarray, " m"]) -> UInt64[np.ndarray, " m"]:
    """Every bit of the input in every bit of the output."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _FIRST
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _SECOND
    return hashes ^ (hashes >> np.uint64(31))


class WordHashes(dict[str, int]):
    """Word -> its hash, remembered up to a number of words."""

    def __missing__(self, word: str) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        self[word] = found = word_hash(word)
        return found


class Sha256Buckets(dict[str, int]):
    """N-gram -> SHA-256 modulo the number of buckets, remembered up to a number of n-grams."""

    def __init__(self, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets

    def __missing__(self, gram: str) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        digest = hashlib.sha256(gram.encode("utf-8", "surrogatepass")).digest()
        self[gram] = bucket = int.from_bytes(digest, "big") % self.buckets
        return bucket


@lru_cache(maxsize=2)
def _remembered(buckets: int) -> Sha256Buckets:
    return Sha256Buckets(buckets)


_WORDS = WordHashes()
