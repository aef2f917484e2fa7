"""What is in a pool: formats, tokens, groups, duplicates, test rows."""

from __future__ import annotations

import sys

import click

from thresher.cli import _options as options


@click.command(name="check")
@click.argument("pool")
@click.option("--target", "targets", metavar="T", multiple=True, help="A target file; may be given several times.")
@options.model
@options.reading
@click.option("--max-tokens", type=int, default=2048, show_default=True, help="The window rows must fit in.")
@click.option("--strict", is_flag=True, help="Findings exit with 1.")
@options.store
@options.as_json
def command(
    pool: str, targets: tuple[str, ...], model: str | None, format_: str | None, group: str | None, skip_bad: bool,
    max_tokens: int, strict: bool, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Formats found, rows, tokens, groups, duplicates, target rows that also stand in POOL."""
    from thresher.data.check import check
    from thresher.data.read import load_pool
    from thresher.setting import open_target

    root = options.store_of(store).root
    rows = load_pool(pool, cache=root, format=format_, group=group, skip_bad=skip_bad)
    target = open_target(targets, root, skip_bad=skip_bad)
    encoded = None
    if model is not None:
        from thresher.models import load

        encoded = load.encoded(load.resolve(model, pool=rows, cache=root), rows, max_tokens)
    found = check(rows, target, encoded=encoded)
    if as_json:
        options.print_json(found)
    else:
        _show(found)
    if strict and found["problems"]:
        sys.exit(1)


def _show(found: dict) -> None:
    click.echo(f"{found['rows']:,} rows, read as {found['format']}")
    if found["tokens"] is not None:
        click.echo(f"{found['tokens']:,} tokens")
    for name, rows in found["groups"].items():
        click.echo(f"  {rows:>9,}  {name}")
    for what in ("duplicates", "target_in_pool"):
        click.echo(f"{what.replace('_', ' ')}: {found[what]['exact']} exact, {found[what]['near']} near")
    click.echo(f"untrainable rows: {len(found['untrainable'])}")
    for problem in found["problems"]:
        click.echo(f"! {problem}")
    if not found["problems"]:
        click.echo("no problems found")
