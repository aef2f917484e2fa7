"""Sketches of texts whose collisions are candidates for near copies: MinHash of word n-grams, in bands.

A band of a row is eight minima over its n-grams of hash functions that are the same for all rows, as one number. Two
rows whose n-gram sets have Jaccard similarity J share a band with probability 1 - (1 - J^8)^16. Everything is done on
arrays, a block of rows at a time: 128 bytes a row are kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64, UInt32, UInt64

BANDS, BAND_SIZE = 16, 8
LONG, SHORT, SHORT_TEXT = 5, 3, 40  # words of an n-gram; texts of fewer words than the last have shorter ones
ROWS = 256  # rows whose n-grams go through all hash functions together: they stay in the cache
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SEED = 1


def gram_size(words: int) -> int:
    """Words of the n-grams of a text of so many words."""
    return LONG if words >= SHORT_TEXT else SHORT


def bands(texts: Sequence[str]) -> UInt64[np.ndarray, "b bands"]:
    """(b, bands) of normalised texts: words with one blank between."""
    grams, starts = _grams(texts)
    scale, shift = _functions()
    minima = np.empty((len(scale), len(texts)), np.uint32)
    for first in range(0, len(texts), ROWS):
        edges = starts[first : first + ROWS + 1]
        minima[:, first : first + ROWS] = _minima(grams[edges[0] : edges[-1]], edges[:-1] - edges[0], scale, shift)
    out = np.empty((len(texts), BANDS), np.uint64)
    for band in range(BANDS):
        key = np.zeros(len(texts), np.uint64)
        for row in minima[band * BAND_SIZE : (band + 1) * BAND_SIZE]:
            key = _mixed(key * _MULTIPLIER + row)
        out[:, band] = key
    return out


def _minima(
    grams: UInt32[np.ndarray, " g"], starts: Int64[np.ndarray, " b"], scale: UInt32[np.ndarray, " f"],
    shift: UInt32[np.ndarray, " f"],
) -> UInt32[np.ndarray, "f b"]:  # fmt: skip
    found = np.empty((len(scale), len(starts)), np.uint32)
    hashed = np.empty_like(grams)
    for i in range(len(scale)):
        np.multiply(grams, scale[i], out=hashed)
        hashed += shift[i]
        np.minimum.reduceat(hashed, starts, out=found[i])
    return found


def _functions() -> tuple[UInt32[np.ndarray, " f"], UInt32[np.ndarray, " f"]]:
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(0, 1 << 32, size=(2, BANDS * BAND_SIZE), dtype=np.uint32)
    return drawn[0] | np.uint32(1), drawn[1]


def _grams(texts: Sequence[str]) -> tuple[UInt32[np.ndarray, " g"], Int64[np.ndarray, " edges"]]:
    """Every row's n-grams as hashes, and where each row's begin; a text shorter than an n-gram is one."""
    words = pc.split_pattern(pa.array(texts, pa.large_string()), " ")
    coded = words.values.dictionary_encode()
    known = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in coded.dictionary.to_pylist()],
                     np.uint64)  # fmt: skip
    word = _mixed(known)[coded.indices.to_numpy()]  # (all words,)
    first = words.offsets.to_numpy().astype(np.int64)  # (b + 1,)
    held = np.diff(first)
    size = np.minimum(np.where(held >= SHORT_TEXT, LONG, SHORT), held)  # (b,)
    count = held - size + 1
    starts = np.concatenate([[0], np.cumsum(count)])
    place = np.arange(starts[-1]) + np.repeat(first[:-1] - starts[:-1], count)
    last = np.repeat(size, count)
    following = np.zeros(len(word), np.uint64)  # of every word with those after it, rows run on
    value = np.empty(len(place), np.uint64)
    for step in range(LONG):
        following *= _MULTIPLIER
        following[: max(len(word) - step, 0)] += word[step:]
        of_size = np.flatnonzero(last == step + 1)
        value[of_size] = following[place[of_size]]
    return (_mixed(value) >> np.uint64(32)).astype(np.uint32), starts


def _mixed(x: UInt64[np.ndarray, " m"]) -> UInt64[np.ndarray, " m"]:
    """A permutation of 64-bit numbers that leaves no pattern (the finaliser of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
