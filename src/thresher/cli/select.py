"""Choose rows: the subset and what choosing cost, in one folder."""

from __future__ import annotations

from pathlib import Path

import click

from thresher.cli import _options as options
from thresher.cli._engine import Engine, engine


@click.command(name="select")
@click.argument("method")
@click.argument("pool")
@click.option(
    "--budget", required=True, metavar="B", help="5% | 2000 rows | 4M tokens | 2e17 flops | 3 gpu-hours | $20"
)
@click.option("--target", "targets", metavar="T", multiple=True, help="A target file; may be given several times.")
@options.model
@options.scorer
@options.encoder
@options.seed
@click.option("--out", required=True, type=Path, metavar="DIR", help="The folder that is left.")
@options.recipe
@options.fields
@options.allow_unconverged
@options.reading
@click.option("--only", metavar="GROUP", multiple=True, help="Choose among this group's rows; several times for more.")
@options.packing
@click.option("--keep-target-rows", is_flag=True, help="Let rows be chosen that also stand in the target.")
@click.option("--hardware", metavar="NAME", help="For hours and dollars [the machine it runs on].")
@click.option("--usd-per-hour", type=float, help="Your own price of that hardware.")
@options.trust
@engine
@options.store
@options.parts_at
@options.as_json
def command(
    method: str, pool: str, budget: str, targets: tuple[str, ...], model: str | None, scorer: str | None,
    encoder: str | None, seed: int, out: Path, recipe: Path | None, overrides: tuple[str, ...],
    allow_unconverged: bool, format_: str | None, group: str | None, skip_bad: bool, only: tuple[str, ...],
    pack: int | None, pack_at: str, keep_target_rows: bool, hardware: str | None, usd_per_hour: float | None,
    trust_remote_code: bool, engine: Engine, store: str | None, parts_at: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Choose rows of POOL with METHOD under a budget that pays for the choosing too."""
    from thresher import choosing, methods
    from thresher.card import command_line
    from thresher.setting import Setting, Sources

    methods.get(method)
    choosing.check_out(out)  # before an hour of measuring
    sources = Sources(
        pool=pool, target=targets, model=model, scorer=scorer, encoder=encoder, format=format_, group=group,
        only=only, pack=pack, pack_at=pack_at, skip_bad=skip_bad, keep_target_rows=keep_target_rows,
        hardware=hardware, usd_per_hour=usd_per_hour,
        trust_remote_code=trust_remote_code,
    )  # fmt: skip
    setting = Setting.open(sources, store=options.store_of(store, parts_at), recipe=options.read_recipe(recipe))
    with engine.shown(len(setting.pool), method) as mapper:
        choice = choosing.choose(
            setting, method, budget, seed=seed, mapper=mapper,
            overrides=options.set_fields(overrides, allow_unconverged),
        )  # fmt: skip
    card = choosing.write(choice, out, command=command_line())
    if as_json:
        options.print_json(card)
    else:
        _show(card, out)


def _show(card: dict, out: Path) -> None:
    budget, chosen, cost = card["budget"], card["chosen"], card["cost"]
    tokens = "" if chosen["tokens"] is None else f", {chosen['tokens']:,} tokens"
    options.echo(
        f"{card['method']}: {chosen['rows']:,} of {card['pool']['rows']:,} rows of {card['pool']['name']}{tokens}"
    )
    options.echo(
        f"read as {card['pool']['format']}"
        + (f"; {card['pool']['skipped']} rows skipped" if card["pool"]["skipped"] else "")
    )
    options.echo(
        f"budget {budget['asked']}: selection {budget['selection']:.4g}, training {budget['training']:.4g}, "
        f"unspent {budget['unspent']:.4g} {budget['unit']}"
    )
    options.echo(
        f"choosing cost {cost['measured']['selection_flops']:.3g} FLOPs and "
        f"{cost['measured']['selection_seconds']:.1f} s; training on it will cost "
        f"{cost['estimated']['training_flops']:.3g} FLOPs"
    )
    for reason, count in card["left_out"].items():
        options.echo(f"{count} rows left out: {reason}")
    options.echo(f"wrote {out}")
