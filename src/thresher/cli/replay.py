"""The same subset again, bit for bit, or the reason why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
    from thresher import choosing
    from thresher.card import command_line
    from thresher.setting import Setting, Sources
    from thresher.training.recipe import Recipe

    old = _read(card)
    if old["thresher"] != __version__ and not other_version:
        raise StoreError(
            f"{card} is from thresher {old['thresher']}, this is {__version__}: values may differ. Install that "
            "version, or pass --other-version to try and compare."
        )
    request = old["request"]
    told = request["sources"]
    named = {**told, "target": tuple(targets or told["target"]), "only": tuple(told.get("only", ()))}
    setting = Setting.open(
        Sources(**(named | ({"pool": pool} if pool else {}))), store=options.store_of(store),
        recipe=Recipe.from_dict(request["recipe"]),
    )  # fmt: skip
    _same("pool", old["pool"]["fingerprint"], setting.pool.fingerprint)
    if setting.target is not None and old["target"] is not None:
        _same("target", old["target"]["fingerprint"], setting.target.fingerprint)
    choice = choosing.choose(
        setting, old["method"], request["budget"], seed=old["seed"], overrides=request["overrides"]
    )
    new = choosing.write(choice, out, command=command_line())
    for what in ("model", "scorer", "encoder"):
        if old.get(what) and new[what]:
            _same(f"{what} weights", old[what]["sha256"], new[what]["sha256"])
    _same("selected.jsonl", old["sha256"]["selected.jsonl"], new["sha256"]["selected.jsonl"])
    same = old["sha256"] == new["sha256"]
    if as_json:
        options.print_json({"same_rows": True, "same_scores": same, "out": str(out)})
    else:
        options.echo(
            f"the same {new['chosen']['rows']:,} rows"
            + ("" if same else "; scores differ in their last bits")
            + f"; wrote {out}"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"there is no card {path}. A selection's folder has one: card.json.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is not a card: {error}.") from None
    missing = [key for key in ("thresher", "method", "request", "pool", "seed", "sha256") if key not in card]
    if missing:
        raise StoreError(f"{path} is not a card of a selection: it has no {', '.join(missing)}.")
    return card


def _same(what: str, old: str, new: str) -> None:
    if old != new:
        raise StoreError(
            f"the {what} is not the card's: {old[:12]}... then, {new[:12]}... now. The same subset cannot be had "
            "from it."
        )
