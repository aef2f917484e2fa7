"""The terms of texts, and how often texts hold them: sparse, in Arrow, no Python string in between."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int
from scipy import sparse

from thresher.core.pool import Pool

ASCII_TERMS = bytes(ord(chr(i).lower()) if chr(i).isalnum() else 32 for i in range(128)) + bytes(range(128, 256))
"""By byte: lower case, a blank for what is no letter or digit; bytes of other scripts as they are."""


def tokens(texts: pa.LargeStringArray, cleaning: str) -> pa.ListArray:
    """(b,) the terms of each text.

    words: lower-case runs of letters or digits. ccds: lower-case, newline to blank, ASCII punctuation deleted,
    split on one blank, so that two blanks in a row hold an empty term.
    """
    if cleaning == "ccds":
        texts = pc.replace_substring(pc.utf8_lower(texts), "\n", " ")
        return pc.split_pattern(pc.replace_substring_regex(texts, r"[!-/:-@\[-`{-~]+", ""), " ")
    texts = pc.ascii_trim_whitespace(_spaced(texts))
    words = pc.ascii_split_whitespace(texts)
    if not pc.any(pc.equal(texts, "")).as_py():
        return words
    held = pc.not_equal(words.values, "")  # a text without any term was split into one empty string
    ends = np.concatenate([[0], np.cumsum(held.to_numpy(zero_copy_only=False))])[words.offsets.to_numpy()]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), words.values.filter(held))


def _spaced(texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """(b,) in lower case, blanks for what is neither letter nor digit; ASCII by a table of bytes, for speed."""
    count, (_, ends, letters) = len(texts), texts.buffers()
    if letters is None:
        return texts
    assert not texts.null_count, "texts are there"
    spaced = pa.LargeStringArray.from_buffers(
        count, ends, pa.py_buffer(letters.to_pybytes().translate(ASCII_TERMS)), offset=texts.offset
    )
    others = pc.invert(pc.string_is_ascii(texts))
    if not others.true_count:
        return spaced
    cleaned = pc.replace_substring_regex(pc.utf8_lower(texts.filter(others)), r"[^\p{L}\p{N}]+", " ")
    return pc.replace_with_mask(spaced, others, cleaned)


def lengths(words: pa.ListArray) -> Int[np.ndarray, " b"]:
    """(b,) terms of each text."""
    return pc.list_value_length(words).to_numpy(zero_copy_only=False)


def counts(words: pa.ListArray, terms: pa.Array) -> sparse.csr_array:
    """(b, v) how often each text holds each of the terms."""
    found = pc.index_in(words.flatten(), value_set=terms)  # null where the term is another one
    known = found.is_valid().to_numpy(zero_copy_only=False)
    ends = words.offsets.to_numpy() - words.offsets[0].as_py()
    indptr = np.concatenate([[0], np.cumsum(known)])[ends]
    indices = found.drop_null().to_numpy()
    out = sparse.csr_array(
        (np.ones(len(indices), np.float32), indices, indptr), shape=(len(words), len(terms))
    )
    out.sum_duplicates()
    return out


def text_bytes(pool: Pool) -> int:
    """Bytes of every turn's content."""
    total = 0
    for batch in pool.table.select(["messages"]).to_batches():
        content = batch.column(0).flatten().field("content")
        total += pc.sum(pc.binary_length(content)).as_py() or 0
    return total
