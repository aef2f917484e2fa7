"""What a recipe's run will cost, before anything of it runs."""

from __future__ import annotations

from pathlib import Path

import click

from thresher.cli import _options as options


@click.command(name="price")
@click.argument("recipe", type=Path)
@options.store
@options.as_json
def command(recipe: Path, store: str | None, as_json: bool) -> None:
    """Reading, training and jobs of RECIPE, arm by arm; evaluation is not in it."""
    from thresher.pricing import price
    from thresher.report.tables import flops, seconds
    from thresher.setting import Setting
    from thresher.spec import Spec

    spec = Spec.read(recipe)
    setting = Setting.open(spec.sources, store=options.store_of(store), recipe=spec.recipe)
    found = price(spec, setting)
    if as_json:
        options.print_json(found)
        return
    for line in found["arms"]:
        why = f"  not priced: {line['not_priced']}" if line["not_priced"] else ""
        options.echo(
            f"{line['method']:36} {line['jobs']:5} models  choosing {flops(line['selection_flops']):>9}  training "
            f"{flops(line['training_flops']):>9} FLOPs{why}"
        )
    options.echo(
        f"{found['jobs']} models, each scored on {found['tasks']} tasks. Choosing {flops(found['selection_flops'])} "
        f"FLOPs (what arms share counted once), training {flops(found['training_flops'])}; on {found['hardware']} some "
        f"{seconds(3600 * found['selection_hours'])} and {seconds(3600 * found['training_hours'])}."
    )
