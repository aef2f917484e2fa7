"""RDS+ equals a loop of one row at a time, and keeps the laws of METHODS 1.3.2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from thresher import pipeline
from thresher.core.pool import Pool
from thresher.core.store import Store
from thresher.models.load import encoded, open_model
from thresher.signals._tuning import Tuning
from thresher.signals.rds import RDS
from thresher.signals.similarity import Similarity

FOUR_ROWS = Tuning(on="pool", rows=4)


@pytest.fixture
def trained(tiny_model: str, tiny_pool: Pool, cache) -> str:
    """A model that does not call itself a random start."""
    import json
    import shutil
    from pathlib import Path

    folder = cache / "trained"
    if not folder.exists():
        shutil.copytree(tiny_model, folder)
        about = json.loads((Path(tiny_model) / "thresher.json").read_text())
        (folder / "thresher.json").write_text(json.dumps({**about, "random_start": False}))
    return str(folder)


def vectors(signal: RDS, pool: Pool, tmp_path) -> np.ndarray:
    return signal.measure(signal.prepare(pool, None, tmp_path), pool)


@pytest.mark.parametrize("text", ["row", "prompt", "answer"])
def test_it_is_the_weighted_mean_over_the_rows_own_positions(trained, tiny_pool, tmp_path, text):
    opened, tokens = open_model(trained, dtype="float32"), encoded(trained, tiny_pool, 2048)
    want = []
    for i in range(len(tiny_pool)):
        ids, answer = tokens.row(i)
        with torch.inference_mode():
            h = opened.model.model(torch.from_numpy(ids.astype(np.int64))[None]).last_hidden_state[0].double().numpy()
        h = h[{"row": np.ones(len(ids), bool), "prompt": ~answer, "answer": answer}[text]]
        u = np.arange(1.0, len(h) + 1)
        want.append(u @ h / u.sum())
    assert_allclose(vectors(RDS(model=trained, text=text, dtype="float32"), tiny_pool, tmp_path), want, atol=1e-5)


def test_rows_without_an_answer_are_not_usable(trained):
    rows = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": a}] for a in ("", "yes")]
    for text in ("row", "answer"):
        assert RDS(model=trained, text=text).usable(Pool.from_messages(rows)).tolist() == [False, True]


def test_a_tuned_model_is_tuned_once_and_also_reads_the_target(tiny_model, tiny_pool, store: Store):
    target = tiny_pool.take([1, 2])
    signal = Similarity(of=RDS(model=tiny_model, tuning=FOUR_ROWS))
    found = pipeline.measure(signal, tiny_pool, target, store=store)
    assert found.below is not None
    assert_allclose(found.values[[1, 2], [0, 1]], 1, rtol=1e-5, err_msg="the same model read pool and target")
    assert found.receipt.flops < found.below.receipt.flops / 2, "the tuning is billed to the feature"
    assert found.manifest["account"]["of"]["tuned_on"] == "pool"
