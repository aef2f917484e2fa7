"""The same subset again, bit for bit, or the reason why not."""

from __future__ import annotations

from pathlib import Path

import click

from thresher import __version__
from thresher.cli import _options as options
from thresher.errors import StoreError


@click.command(name="replay")
@click.argument("card", type=Path)
@click.option("--out", required=True, type=Path, metavar="DIR", help="The folder that is left.")
@click.option("--pool", help="Where the pool is now, if it has moved.")
@click.option("--target", "targets", multiple=True, help="Where the target is now, if it has moved.")
@click.option("--other-version", is_flag=True, help="Try with another version of thresher than the card's.")
@options.store
@options.as_json
def command(
    card: Path,
    out: Path,
    pool: str | None,
    targets: tuple[str, ...],
    other_version: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Choose again what CARD says was chosen, and compare."""
    from dataclasses import replace

    from thresher import choosing, requested
    from thresher.card import command_line
    from thresher.setting import Setting

    old = requested.read(card)
    choosing.check_out(out)
    if old.thresher != __version__ and not other_version:
        raise StoreError(
            f"{card} is from thresher {old.thresher}, this is {__version__}: values may differ. Install that "
            "version, or pass --other-version to try and compare."
        )
    sources = replace(old.sources, pool=pool or old.sources.pool, target=tuple(targets) or old.sources.target)
    setting = Setting.open(sources, store=options.store_of(store), recipe=old.recipe)
    _same("pool", old.fingerprints["pool"], setting.pool.fingerprint)
    if setting.target is not None and "target" in old.fingerprints:
        _same("target", old.fingerprints["target"], setting.target.fingerprint)
    choice = choosing.choose(setting, old.method, old.budget, seed=old.seed, overrides=old.overrides)
    new = choosing.write(choice, out, command=command_line())
    for what, weights in old.weights.items():
        if new[what]:
            _same(f"{what} weights", weights, new[what]["sha256"])
    _same("selected.jsonl", old.sha256["selected.jsonl"], new["sha256"]["selected.jsonl"])
    same = old.sha256 == new["sha256"]
    if as_json:
        options.print_json({"same_rows": True, "same_scores": same, "out": str(out)})
    else:
        options.echo(
            f"the same {new['chosen']['rows']:,} rows"
            + ("" if same else "; scores differ in their last bits")
            + f"; wrote {out}"
        )


def _same(what: str, old: str, new: str) -> None:
    if old != new:
        raise StoreError(
            f"the {what} is not the card's: {old[:12]}... then, {new[:12]}... now. The same subset cannot be had "
            "from it."
        )
