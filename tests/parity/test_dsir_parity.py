"""DSIR against the authors' package data-selection."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from thresher.core.pool import Pool
from thresher.data.synthetic import synthetic
from thresher.signals.dsir import DSIR

pytestmark = pytest.mark.parity
reference = pytest.importorskip("data_selection", reason="the package data-selection is not installed")

# combining marks are left out: nltk 3.10 moved to another regular expression engine, for which they are letters
ODD = ["", "  ", "Größe: 12.5 KG!!", "don\u2019t snake_case", "\u4f60\u597d, \u00e9\u0660", "A\u00a0B\tC\u200bD"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("buckets", [10_000, 500])
def test_log_weights_are_equal(buckets, tmp_path):
    pool, target, _ = synthetic(300)
    rows = [[{"role": "text", "content": text}] for text in [*pool.text(), *ODD]]
    pool = Pool.from_messages(rows)
    for name, of in (("pool", pool), ("target", target)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in of.text()))
    theirs = reference.HashedNgramDSIR(
        [str(tmp_path / "pool.jsonl")], [str(tmp_path / "target.jsonl")], str(tmp_path / "cache"), num_proc=1,
        num_buckets=buckets,
    )  # fmt: skip
    theirs.fit_importance_estimator()
    theirs.compute_importance_weights()
    want = np.load(tmp_path / "cache" / "log_importance_weights" / "0.npy")
    signal = DSIR(buckets=buckets)
    got = signal.measure(signal.prepare(pool, target, tmp_path / "own"), pool)
    assert_allclose(got, want, rtol=0, atol=1e-10)
