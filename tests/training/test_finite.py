"""A training that diverges is no model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import TrainerCallback

from thresher.core.pool import Pool
from thresher.errors import NonFinite
from thresher.training.finite import EVERY
from thresher.training.recipe import Lora, Recipe
from thresher.training.sft import part_of, train


class _Count(TrainerCallback):
    """Steps that were taken."""

    steps = 0

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.steps = state.global_step


@pytest.mark.parametrize("lora", [None, Lora(r=2)], ids=["full", "lora"])
def test_it_ends_soon_with_a_way_out_and_leaves_nothing(
    lora: Lora | None, tiny_model: str, tiny_pool: Pool, tmp_path: Path
):
    steep = Recipe(learning_rate=1e30, micro_batch=2, batch_size=2, epochs=10.0, max_tokens=64, save_every=1)
    seen, out = _Count(), tmp_path / "out"
    with pytest.raises(NonFinite, match=r"diverged: after \d+ steps .* \(learning_rate 1e\+30\) lower learning_rate"):
        train(tiny_model, [(tiny_pool, replace(steep, lora=lora))], seed=0, out=out, callbacks=[seen])
    assert seen.steps <= EVERY, "200 steps were asked for"
    assert not out.exists()
    assert not part_of(out).exists()


def test_the_last_step_is_looked_at_too(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    """One step: its loss was taken before its weights went astray."""
    recipe = Recipe(learning_rate=1e38, steps=1, batch_size=8, weight_decay=1e38, warmup=0.0, max_tokens=64)
    with pytest.raises(NonFinite, match="after 1 steps its weights are not finite"):
        train(tiny_model, [(tiny_pool, recipe)], seed=0, out=tmp_path / "out")


def test_float32_is_not_advised_where_it_is_used(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    for precision, advised in (("float32", False), ("bfloat16", True)):
        recipe = Recipe(learning_rate=1e30, batch_size=8, max_tokens=64, precision=precision)
        with pytest.raises(NonFinite) as told:
            train(tiny_model, [(tiny_pool, recipe)], seed=0, out=tmp_path / precision)
        assert ("precision: float32" in str(told.value)) == advised
