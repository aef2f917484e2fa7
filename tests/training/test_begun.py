"""A folder of one training is not taken for another's, and nothing of the user's is in danger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import TrainerCallback

from thresher.core.pool import Pool
from thresher.errors import StoreError
from thresher.models.load import resolve
from thresher.training.begun import BEGUN
from thresher.training.recipe import Recipe
from thresher.training.sft import part_of, train

RECIPE = Recipe(batch_size=8, micro_batch=8, max_tokens=64, save_every=2)


class _Killed(TrainerCallback):
    """Ends a training after its third step."""

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == 3:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def other_model(tiny_pool: Pool, cache: Path) -> str:
    return resolve("scratch:50k", pool=tiny_pool, cache=cache, seed=5)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("other", ["rows", "recipe", "seed", "model"])
def test_what_is_there_of_something_else_is_refused_and_kept(
    finished: bool, other: str, tiny_model: str, other_model: str, tiny_pool: Pool, tmp_path: Path
):
    out = tmp_path / "out"
    if finished:
        train(tiny_model, [(tiny_pool, RECIPE)], seed=0, out=out)
    else:
        with pytest.raises(KeyboardInterrupt):
            train(tiny_model, [(tiny_pool, RECIPE)], seed=0, out=out, callbacks=[_Killed()])
    before = files(tmp_path)
    rows = tiny_pool.slice(0, 39) if other == "rows" else tiny_pool
    recipe = replace(RECIPE, learning_rate=1e-3) if other == "recipe" else RECIPE
    model = other_model if other == "model" else tiny_model
    state = "a finished" if finished else "an unfinished"
    with pytest.raises(StoreError, match=f"is {state} training of another {other}. Name another folder"):
        train(model, [(rows, recipe)], seed=int(other == "seed"), out=out)
    assert files(tmp_path) == before


def test_how_often_it_is_saved_is_not_what_it_is_of(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model, [(tiny_pool, RECIPE)], seed=0, out=out, callbacks=[_Killed()])
    assert (part_of(out) / BEGUN).exists()
    train(tiny_model, [(tiny_pool, replace(RECIPE, save_every=None))], seed=0, out=out)
    assert not (out / BEGUN).exists()
    train(tiny_model, [(tiny_pool, replace(RECIPE, save_every=1))], seed=0, out=out)


def test_a_folder_that_is_no_training_is_not_written_over(tiny_model: str, tiny_pool: Pool, tmp_path: Path):
    mine = tmp_path / "papers"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match=r"papers is there already and is no training"):
        train(tiny_model, [(tiny_pool, RECIPE)], seed=0, out=mine)
    assert (mine / "thesis.tex").read_text() == "years of work"
    empty = tmp_path / "empty"
    empty.mkdir()
    train(tiny_model, [(tiny_pool, RECIPE)], seed=0, out=empty)
