"""What is in a pool: formats, tokens, groups, duplicates, test rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thresher.cli import _options as options

if TYPE_CHECKING:
    from thresher.core.pool import Pool


@click.command(name="check")
@click.argument("pool")
@click.option("--target", "targets", metavar="T", multiple=True, help="A target file; may be given several times.")
@click.option("--test", "tests", metavar="FILE", multiple=True, help="Test rows that POOL must not hold; or several.")
@options.model
@options.reading
@click.option("--max-tokens", type=int, default=2048, show_default=True, help="The window rows must fit in.")
@click.option("--strict", is_flag=True, help="Findings exit with 1.")
@options.store
@options.as_json
def command(
    pool: str, targets: tuple[str, ...], tests: tuple[str, ...], model: str | None, format_: str | None,
    group: str | None, skip_bad: bool, max_tokens: int, strict: bool, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Formats found, rows, tokens, groups, duplicates, target and test rows that also stand in POOL."""
    from thresher.data.check import check
    from thresher.data.contamination import said
    from thresher.data.read import load_pool
    from thresher.setting import open_target

    root = options.store_of(store).root
    rows = load_pool(pool, cache=root, format=format_, group=group, skip_bad=skip_bad)
    target = open_target(targets, root, skip_bad=skip_bad)
    encoded = None
    if model is not None:
        from thresher.models import load

        encoded = load.counted(load.resolve(model, pool=rows, cache=root), rows, max_tokens)
    found = check(rows, target, encoded=encoded)
    found["contamination"] = [_tested(rows, test, root, skip_bad) for test in tests]
    found["problems"] += [said(line) for line in found["contamination"] if said(line)]
    if as_json:
        options.print_json(found)
    else:
        _show(found)
    if strict and found["problems"]:
        sys.exit(1)


def _tested(pool: Pool, test: str, root: Path, skip_bad: bool) -> dict[str, Any]:
    """What the pool holds of one file of test rows."""
    from thresher.data.contamination import contamination
    from thresher.data.read import load_pool

    rows = load_pool(test, cache=root, skip_bad=skip_bad)
    return {"task": rows.name, **contamination(pool, rows).to_dict()}


def _show(found: dict) -> None:
    options.echo(f"{found['rows']:,} rows, read as {found['format']}")
    if found["tokens"] is not None:
        options.echo(f"{found['tokens']:,} tokens")
    for name, rows in found["groups"].items():
        options.echo(f"  {rows:>9,}  {name}")
    for what in ("duplicates", "target_in_pool"):
        options.echo(f"{what.replace('_', ' ')}: {found[what]['exact']} exact, {found[what]['near']} near")
    for line in found["contamination"]:
        counts = f"{line['rows']:,}, of them {line['exact']} exact, {line['near']} near"
        options.echo(f"test rows of {line['test']}: {counts}")
        for pair in line["pairs"][:5]:
            options.echo(f"  {pair['test']} in {pair['pool']}: {100 * pair['share']:.0f}% of its words")
    options.echo(f"untrainable rows: {len(found['untrainable'])}")
    for problem in found["problems"]:
        options.echo(f"! {problem}")
    if not found["problems"]:
        options.echo("no problems found")
