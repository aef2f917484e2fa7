"""Options that several commands share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from thresher.cli import _lines
from thresher.cli._lines import bars as bars
from thresher.cli._lines import echo as echo
from thresher.errors import StoreError, UnknownName

if TYPE_CHECKING:
    from thresher.core.store import Store

Decorator = Callable[[Callable], Callable]


def store_of(folder: str | None, parts_at: str | None = None) -> Store:
    """--store, else THRESHER_STORE, else the user's cache folder; with the address of --parts-at.

    Raises:
        StoreError: the address of an object store.
    """
    from thresher.core.away import Away
    from thresher.core.store import Store  # numpy: not for --help

    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    named = folder or os.environ.get("THRESHER_STORE") or str(Path(home) / "thresher")
    if "://" in named:
        raise StoreError(
            f"a store is a folder, and {named} is an address: its arrays are mapped into memory and its parts renamed, "
            "which object stores cannot. Name a folder that every machine mounts (NFS, Lustre, a mounted bucket), or a "
            f"folder of this machine and --parts-at {named} for what the machines hand each other."
        )
    return Store(Path(named), None if parts_at is None else Away(parts_at))


store = click.option("--store", metavar="DIR", help="Where measurements rest [THRESHER_STORE, or the user's cache].")
parts_at = click.option(
    "--parts-at", metavar="URL", help="Where machines without a common folder leave parts: s3://bucket/prefix, file://..."
)
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
seed = click.option("--seed", type=int, default=0, show_default=True, help="Of every draw.")
model = click.option(
    "--model", metavar="M", help="The model to be trained: hub name, folder, .gguf, cut:..., scratch:3m."
)
scorer = click.option("--scorer", metavar="M", help="The small model that reads the pool; else --model does.")
encoder = click.option("--encoder", metavar="E", help="The sentence encoder: hub name, folder, package:NAME.")
recipe = click.option("--recipe", metavar="R.yaml", type=Path, help="How the model is trained.")
fields = click.option("--set", "overrides", metavar="FIELD=VALUE", multiple=True, help="A field of the method's.")
allow_unconverged = click.option(
    "--allow-unconverged", is_flag=True, help="Take a transport that missed its tolerance; the card says so."
)
trust = click.option("--trust-remote-code", is_flag=True, help="Let a model run its own Python code here: dangerous.")


def reading(command: Callable) -> Callable:
    """How a pool is read."""
    for option in reversed([
        click.option("--format", "format_", metavar="F", help="alpaca, messages, sharegpt, prompt_completion, text."),
        click.option("--group", metavar="COLUMN", help="The column that groups rows [source, group, subject]."),
        click.option("--skip-bad", is_flag=True, help="Leave rows out that cannot be read, and count them."),
    ]):  # fmt: skip
        command = option(command)
    return command


def packing(command: Callable) -> Callable:
    """Plain text to pieces of equal length."""
    for option in reversed([
        click.option("--pack", type=int, metavar="TOKENS", help="Cut plain text, the target's too [256 is usual]."),
        click.option("--pack-at", type=click.Choice(["sentence", "token"]), default="sentence", show_default=True,
                     help="Where it is cut."),
    ]):  # fmt: skip
        command = option(command)
    return command


def set_fields(pairs: tuple[str, ...], allow_unconverged: bool = False) -> dict[str, Any]:
    """FIELD=VALUE as values: numbers, true/false and null as JSON reads them, else text; and the flag as a field.

    Raises:
        UnknownName: no equals sign.
    """
    found: dict[str, Any] = {"allow_unconverged": True} if allow_unconverged else {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UnknownName(f"--set {pair!r} is not FIELD=VALUE, such as --set k1=1.2.")
        try:
            found[name] = json.loads(text)
        except json.JSONDecodeError:
            found[name] = text
    return found


def read_recipe(path: Path | None) -> Any:  # noqa: ANN401
    """The recipe, or the default one."""
    from thresher.training.recipe import Recipe

    return Recipe.read(path) if path is not None else Recipe()


def print_json(value: object) -> None:
    """One document, nothing else."""
    click.echo(_lines.document(value))


def console() -> Any:  # noqa: ANN401
    """Where tables are printed; wide where nobody is looking, so that nothing is folded."""
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        """Nothing in a name steers the terminal."""

        def render(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            for one in super().render(*arguments, **named):
                yield one if one.control else Segment(_lines.shown(one.text), one.style)

    wide = Plain(highlight=False)
    return wide if wide.is_terminal else Plain(highlight=False, width=160)
