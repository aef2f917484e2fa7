"""What a recipe says, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from thresher.errors import RecipeError
from thresher.models.load import architecture
from thresher.training.recipe import Lora, Recipe, total_flops, train_flops


def test_yaml_numbers_written_as_text_and_whole_numbers_are_numbers(tmp_path: Path):
    (tmp_path / "r.yaml").write_text("epochs: 3\nlearning_rate: 2e-5\nlora: {r: 4, targets: [q_proj, v_proj]}\n")
    recipe = Recipe.read(tmp_path / "r.yaml")
    assert (recipe.epochs, recipe.learning_rate) == (3.0, 2e-5)
    assert isinstance(recipe.epochs, float), "3 and 3.0 must give one key"
    assert recipe.lora == Lora(r=4, targets=("q_proj", "v_proj"))
    assert Recipe.from_dict(recipe.to_dict()) == recipe


BAD = {
    "epoch: 3": "Did you mean 'epochs'",
    "epochs: many": "epochs must be a number, not 'many'",
    "epochs: 0": "epochs must be above zero",
    "steps: 0": "steps must be at least 1",
    "steps: 2.5": "steps must be a whole number",
    "batch_size: true": "batch_size must be a whole number",
    "schedule: up": "schedule must be linear, cosine, constant",
    "lora: {rank: 3}": "rank",
    "lora: 'yes'": "lora",
    "[1, 2]": "mapping",
    "a: [": "not YAML",
}


@pytest.mark.parametrize("text", BAD)
def test_a_recipe_that_cannot_be_says_what_could(text: str, tmp_path: Path):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError) as said:
        Recipe.read(tmp_path / "r.yaml")
    assert BAD[text] in str(said.value)


def test_equal_epochs_cost_by_the_token_and_equal_steps_do_not(tiny_model: str):
    arch = architecture(tiny_model)
    few, many = np.full(16, 20), np.full(64, 20)
    epochs = Recipe(epochs=2.0, batch_size=16)
    assert total_flops(epochs, arch, many) == pytest.approx(4 * total_flops(epochs, arch, few))
    steps = epochs.with_steps(10)
    assert total_flops(steps, arch, many) == pytest.approx(total_flops(steps, arch, few))
    assert total_flops(steps, arch, few) == pytest.approx(10 * total_flops(Recipe(batch_size=16), arch, few))


def test_the_price_of_a_set_is_the_sum_of_its_rows_and_nothing_beyond_the_window(tiny_model: str):
    arch = architecture(tiny_model)
    recipe, lengths = Recipe(epochs=3.0, max_tokens=50), np.array([10, 50, 400])
    each = train_flops(recipe, arch, lengths)
    assert total_flops(recipe, arch, lengths) == pytest.approx(each.sum())
    assert each[2] == each[1], "what is cut off is not trained on"
    assert total_flops(recipe, arch, lengths[:0]) == 0.0
