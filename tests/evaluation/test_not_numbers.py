"""A model that predicts NaN has no score, whatever it is asked."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from thresher.core.pool import Pool
from thresher.errors import NonFinite
from thresher.evaluation.measures import evaluate
from thresher.evaluation.task import Task
from thresher.models.finite import check_logits

TASKS = {
    "held_out": {},
    "multiple_choice": {"choices": ("yes", "no"), "answer": "right"},
    "exact_match": {"max_new_tokens": 4},
    "summarization": {"max_new_tokens": 4, "metrics": ("rouge1",)},
}


@pytest.fixture(scope="module")
def broken(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("broken") / "model"
    shutil.copytree(tiny_model, folder)
    (path,) = folder.glob("*.safetensors")
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("norm.weight"))
    weights[name] = torch.full_like(weights[name], float("nan"))
    save_file(weights, path, metadata={"format": "pt"})
    return str(folder)


@pytest.fixture(scope="module")
def rows() -> Pool:
    asked = [[{"role": "user", "content": f"Is {i} odd?"}, {"role": "assistant", "content": "yes"}] for i in range(5)]
    return Pool.from_messages(asked, origin=[{"right": "yes"}] * 5)


@pytest.mark.parametrize("measure", TASKS)
@pytest.mark.parametrize("format", ["chat", "plain"])
def test_it_is_said(measure: str, format: str, broken: str, rows: Pool):
    task = Task(task="odd", data="x", measure=measure, format=format, **TASKS[measure])
    with pytest.raises(NonFinite, match=r"not (finite|numbers).*Its training diverged"):
        evaluate(broken, task, rows)


def test_a_token_that_never_comes_is_no_fault():
    check_logits(torch.tensor([[0.0, float("-inf"), 2.0]]))
    with pytest.raises(NonFinite):
        check_logits(torch.tensor([[0.0, 1.0], [float("nan"), 1.0]]))
