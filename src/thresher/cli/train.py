"""Fine-tune a model on one or several data sets in turn."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from thresher.cli import _options as options


@click.command(name="train")
@click.argument("data", nargs=-1, required=True)
@click.option("--model", required=True, metavar="M", help="Hub name, folder, .gguf, cut:..., scratch:3m.")
@click.option("--out", required=True, type=Path, metavar="DIR", help="The model folder or adapter that is left.")
@click.option(
    "--recipe", "recipes", metavar="R.yaml", type=Path, multiple=True, help="One for all stages, or one for each."
)
@click.option("--report-to", metavar="T", help="Trackers: tensorboard, wandb, mlflow; several with commas [none].")
@click.option("--vocabulary-from", metavar="POOL", help="The pool a scratch tokenizer is trained on [the first DATA].")
@options.reading
@options.seed
@options.trust
@options.store
@options.as_json
def command(
    data: tuple[str, ...], model: str, out: Path, recipes: tuple[Path, ...], report_to: str | None,
    vocabulary_from: str | None, format_: str | None, group: str | None, skip_bad: bool, seed: int,
    trust_remote_code: bool, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Fine-tune; several DATA are stages in turn (a warm-up, then the target). A folder of `select` will do."""
    from thresher.data.read import load_pool
    from thresher.errors import RecipeError
    from thresher.models import load
    from thresher.training.origin import origin
    from thresher.training.recipe import Recipe
    from thresher.training.sft import train

    if len(recipes) not in (0, 1, len(data)):
        raise RecipeError(f"{len(recipes)} recipes for {len(data)} stages. Give one for all, or one for each.")
    root = options.store_of(store).root
    read = [Recipe.read(path) for path in recipes] or [Recipe()]
    if report_to is not None:
        read = [replace(recipe, report_to=report_to) for recipe in read]
    stages = [
        (
            load_pool(_rows(source), cache=root, format=format_, group=group, skip_bad=skip_bad),
            _ordered(source, read[i % len(read)]),
        )
        for i, source in enumerate(data)
    ]
    vocabulary = load_pool(vocabulary_from, cache=root) if vocabulary_from else stages[0][0]
    path = load.resolve(model, pool=vocabulary, cache=root, seed=seed, trust_remote_code=trust_remote_code)
    receipt = train(
        path, stages, seed=seed, out=out, progress=not as_json and options.bars(),
        origin=origin(model, [[_rows(source)] for source in data]),
    )  # fmt: skip
    if os.environ.get("RANK", "0") != "0":  # of several processes one speaks
        return
    if as_json:
        options.print_json({"out": str(out), **receipt.to_dict()})
    else:
        options.echo(
            f"trained {model} on {len(stages)} stage(s): {receipt.flops:.3g} FLOPs, "
            f"{receipt.seconds:.0f} s; wrote {out}"
        )


def _rows(source: str) -> str:
    """A selection's folder stands for its rows."""
    chosen = Path(source) / "selected.jsonl"
    return str(chosen) if chosen.exists() else source


def _ordered(source: str, recipe: Any) -> Any:  # noqa: ANN401
    """The recipe; of a method that chooses an order, with the rows in it."""
    card = Path(source) / "card.json"
    order = json.loads(card.read_text(encoding="utf-8")).get("order") if card.exists() else None
    return recipe if order is None else replace(recipe, order=order)
