"""Embeddings keep the laws of METHODS 1.3.1, and say what they cannot read."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher import pipeline
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.errors import NonFinite
from thresher.models import encoder
from thresher.signals.embed import Embed


def pool_of(*answers: str, ask: str = "Why?") -> Pool:
    return Pool.from_messages(
        [[{"role": "user", "content": ask}, {"role": "assistant", "content": a}] for a in answers]
    )


def vectors(signal: Embed, pool: Pool, tmp_path) -> np.ndarray:
    return signal.measure(signal.prepare(pool, None, tmp_path), pool)


def test_rows_have_length_one_and_equal_rows_equal_vectors(tiny_encoder, tmp_path):
    got = vectors(Embed(encoder=tiny_encoder), pool_of("a", "because", "a"), tmp_path)
    assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-6)
    assert_allclose(got[0], got[2], atol=1e-6)
    assert not np.allclose(got[0], got[1], atol=1e-3)


@pytest.mark.parametrize("text", ["row", "prompt", "answer", "first_user"])
def test_what_is_read_is_an_option(tiny_encoder, tmp_path, text):
    one, other = pool_of("left", ask="up"), pool_of("right", ask="up")
    a, b = (vectors(Embed(encoder=tiny_encoder, text=text), pool, tmp_path) for pool in (one, other))
    assert np.allclose(a, b) == (text in ("prompt", "first_user"))


def test_a_prefix_is_read_before_the_text(tiny_encoder, tmp_path):
    got = vectors(Embed(encoder=tiny_encoder, prefix="so: ", text="answer"), pool_of("left"), tmp_path)
    want = vectors(Embed(encoder=tiny_encoder, text="answer"), pool_of("so: left"), tmp_path)
    assert_allclose(got, want, atol=1e-6)


def test_long_rows_are_cut_and_the_share_is_told(tiny_encoder, store: Store):
    pool = pool_of("a", "keys " * 300, "keys " * 400, "b")
    found = pipeline.measure(Embed(encoder=tiny_encoder), pool, store=store)
    assert found.manifest["account"]["truncated"] == 0.5
    assert found.manifest["account"]["window"] == 96
    alike = pool_of("keys " * 300 + "and more", "keys " * 300 + "and less")
    got = pipeline.measure(Embed(encoder=tiny_encoder), alike, store=store).values
    assert_allclose(got[0], got[1], atol=1e-6)


def test_characters_are_cut_before_tokens(tiny_encoder, tmp_path):
    got = vectors(Embed(encoder=tiny_encoder, text="answer", max_characters=4), pool_of("left and right"), tmp_path)
    assert_allclose(got, vectors(Embed(encoder=tiny_encoder, text="answer"), pool_of("left"), tmp_path), atol=1e-6)


def test_rows_of_which_nothing_is_seen_are_not_usable(tiny_encoder):
    usable = Embed(encoder=tiny_encoder, text="answer").usable(pool_of("a", "", "b"))
    assert usable.tolist() == [True, False, True], "this tokenizer puts nothing around a text"
    assert Embed(encoder=tiny_encoder).usable(pool_of("a", "")) is None


def test_a_vector_that_is_no_number_stops_and_names_rows(tiny_encoder, store: Store, monkeypatch):
    def broken(*_, **__):
        return np.full((3, 24), np.nan, np.float32)

    monkeypatch.setattr(encoder.Encoder, "encode", broken)
    with pytest.raises(NonFinite, match=r"3 of 3 rows, first ids \['row-0', 'row-1', 'row-2'\]"):
        pipeline.measure(Embed(encoder=tiny_encoder), pool_of("a", "b", "c"), store=store)


def test_the_key_is_the_weights_and_not_their_place(tiny_encoder, tmp_path, store: Store):
    import shutil

    shutil.copytree(tiny_encoder, tmp_path / "moved")
    one, other = Embed(encoder=tiny_encoder), Embed(encoder=str(tmp_path / "moved"))
    assert store.key(one, **one.identity()) == store.key(other, **other.identity())
    cls = Embed(encoder=tiny_encoder, pooling="cls")
    assert store.key(cls, **cls.identity()) != store.key(one, **one.identity())
