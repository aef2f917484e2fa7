"""Entropy and confidence are their definitions, position by position, and keep the laws of METHODS 1.4.2."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from thresher.core.pool import Pool
from thresher.models.load import encoded, open_model
from thresher.signals.confidence import Confidence
from thresher.signals.entropy import Entropy, entropies


def measure(signal, pool: Pool) -> np.ndarray:
    return signal.measure(signal.model, pool)


def positions(path: str, pool: Pool):
    """Of each row: logits (s, V) in float64, and which tokens are trained on."""
    opened, tokens = open_model(path, dtype="float32"), encoded(path, pool, 2048)
    for i in range(len(pool)):
        ids, trained = tokens.row(i)
        with torch.inference_mode():
            yield opened.model(torch.from_numpy(ids.astype(np.int64))[None]).logits[0].double(), trained


def predicting(trained: np.ndarray) -> np.ndarray:
    return np.flatnonzero(trained[1:])


def test_entropy_is_its_definition_one_row_at_a_time(tiny_model: str, tiny_pool: Pool):
    want = []
    for logits, trained in positions(tiny_model, tiny_pool):
        p = torch.softmax(logits, -1)[predicting(trained)]
        want.append(float(-(p * p.log()).sum(-1).mean()))
    assert_allclose(measure(Entropy(model=tiny_model, dtype="float32"), tiny_pool), want, rtol=1e-5)


@pytest.mark.parametrize("margin", [False, True])
def test_confidence_is_its_definition_in_both_readings(tiny_model: str, tiny_pool: Pool, margin: bool):
    probability, logit = [], []
    for logits, trained in positions(tiny_model, tiny_pool):
        p = torch.softmax(logits, -1)[predicting(trained)].sort(-1, descending=True).values
        z = logits[:-1].sort(-1, descending=True).values
        probability.append(float((p[:, 0] - margin * p[:, 1]).mean()))
        logit.append(float((z[:, 0] - margin * z[:, 1]).mean()))
    for of, want in (("probability", probability), ("max-logit", logit)):
        signal = Confidence(model=tiny_model, of=of, margin=margin, dtype="float32")
        assert_allclose(measure(signal, tiny_pool), want, rtol=1e-4)


def test_uniform_logits_give_ln_v_and_one_over_v():
    logits, labels = torch.zeros(3, 7), torch.zeros(3, dtype=torch.long)
    assert_allclose(entropies(logits, labels), math.log(7), rtol=1e-6)
    assert_allclose(Confidence(model="m").statistic(logits, labels), 1 / 7, rtol=1e-6)


def test_a_constant_added_to_logits_changes_only_the_raw_reading():
    logits, labels = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)), torch.zeros(5, dtype=torch.long)
    raw, sure = Confidence(model="m", of="max-logit"), Confidence(model="m")
    assert_allclose(entropies(logits + 3, labels), entropies(logits, labels), rtol=1e-5)
    assert_allclose(sure.statistic(logits + 3, labels), sure.statistic(logits, labels), rtol=1e-5)
    assert_allclose(raw.statistic(logits + 3, labels), raw.statistic(logits, labels) + 3, rtol=1e-5)


def test_a_token_that_cannot_be_has_no_share_in_the_entropy():
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert_allclose(entropies(logits, torch.zeros(1, dtype=torch.long)), math.log(2), rtol=1e-6)
