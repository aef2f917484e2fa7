"""A micro-batch that memory does not hold is trained in two halves: the same step, what was done again on the bill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from thresher.core.pool import Pool
from thresher.errors import ModelError
from thresher.training import counting
from thresher.training.in_flight import Watch
from thresher.training.recipe import Lora, Recipe
from thresher.training.sft import train

ROWS = 4  # of a micro-batch
RECIPE = Recipe(steps=3, batch_size=12, micro_batch=ROWS, learning_rate=1e-2, max_tokens=64)
ADAPTED = Recipe(steps=3, batch_size=12, micro_batch=ROWS, learning_rate=1e-2, max_tokens=64, lora=Lora(r=4))


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


def _before(model: torch.nn.Module) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def _amid_the_gradients(model: torch.nn.Module) -> None:
    """As when the backward pass has added to some of them."""
    for parameter in list(model.parameters())[::2]:
        if parameter.grad is not None:
            parameter.grad += 1.0
    raise MemoryError


class Short:
    """The Trainer's step, but that memory runs out once, at the call with this number; then at `small` rows or more."""

    def __init__(self, call: int, fail: Callable[[torch.nn.Module], None], small: int = ROWS + 1) -> None:
        self.call, self.fail, self.small, self.calls = call, fail, small, 0

    def __call__(self, trainer: object, model: torch.nn.Module, inputs: dict, *rest: object) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.call or (self.calls > self.call and len(inputs["input_ids"]) >= self.small):
            self.fail(model)
        return _plain(trainer, model, inputs, *rest)


_plain = counting.Trainer.training_step


@pytest.fixture
def shorten(monkeypatch: pytest.MonkeyPatch) -> Callable[[Short], None]:
    return lambda short: monkeypatch.setattr(counting.Trainer, "training_step", lambda *given: short(*given))


@pytest.mark.parametrize("recipe", [RECIPE, ADAPTED], ids=["full", "adapters"])
@pytest.mark.parametrize("fail", [_before, _amid_the_gradients])
def test_a_step_in_halves_is_the_same_step(
    recipe: Recipe, fail: Callable, shorten: Callable, tiny_model: str, tiny_pool: Pool, tmp_path: Path, caplog
):
    plain = train(tiny_model, [(tiny_pool, recipe)], seed=1, out=tmp_path / "plain")
    shorten(Short(6, fail))  # the third micro-batch of the second step
    halved = train(tiny_model, [(tiny_pool, recipe)], seed=1, out=tmp_path / "halved")
    assert "4 rows did not fit into memory: it is done in two halves" in caplog.text
    assert (plain.halved, halved.halved) == (0, 1)
    assert 1.0 < halved.flops / plain.flops < 1.5, "two micro-batches of nine were done again"
    mine, other = weights(tmp_path / "halved"), weights(tmp_path / "plain")
    assert mine.keys() == other.keys()
    start = weights(Path(tiny_model)) if recipe is RECIPE else {}
    for name, value in mine.items():
        np.testing.assert_allclose(value, other[name], rtol=1e-3, atol=2e-5)
        assert name not in start or not np.array_equal(value, start[name])


def test_every_row_is_told_once(shorten: Callable, tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    def told(out: Path) -> dict[tuple[int, int], float]:
        seen: dict[tuple[int, int], float] = {}

        def tell(step: int, rows: np.ndarray, values: np.ndarray) -> None:
            for row, value in zip(rows, values[:, 0], strict=True):
                assert (step, int(row)) not in seen
                seen[step, int(row)] = float(value)

        train(tiny_model, [(tiny_pool, RECIPE)], seed=1, out=out, watch=Watch(tell))
        return seen

    plain = told(tmp_path / "plain")
    shorten(Short(6, _amid_the_gradients))
    halved = told(tmp_path / "halved")
    assert halved.keys() == plain.keys()
    assert len(plain) == 36
    assert halved == pytest.approx(plain, rel=1e-3)


def test_a_half_that_does_not_fit_either_is_said(shorten: Callable, tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    shorten(Short(2, _before, small=1))
    with pytest.raises(ModelError, match=r"4 rows of \d+ tokens did not fit, and neither did half of it.*micro_batch"):
        train(tiny_model, [(tiny_pool, RECIPE)], seed=1, out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_single_row_is_not_halved(shorten: Callable, tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    shorten(Short(2, _before))
    recipe = Recipe(steps=3, batch_size=2, micro_batch=1, max_tokens=64)
    with pytest.raises(ModelError, match=r"a micro-batch of 1 rows of \d+ tokens did not fit\. What is finished"):
        train(tiny_model, [(tiny_pool, recipe)], seed=1, out=tmp_path / "model")


def test_another_fault_passes_as_it_is(shorten: Callable, tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    def fail(model: torch.nn.Module) -> None:
        raise RuntimeError("the shapes do not agree")

    shorten(Short(2, fail))
    with pytest.raises(RuntimeError, match="the shapes do not agree"):
        train(tiny_model, [(tiny_pool, RECIPE)], seed=1, out=tmp_path / "model")
