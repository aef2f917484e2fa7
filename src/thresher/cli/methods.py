"""Every method and variant: what it needs, its price, its paper."""

from __future__ import annotations

import click

from thresher import methods
from thresher.cli import _options as options


@click.command(name="methods")
@options.as_json
def command(as_json: bool) -> None:
    """Every method and variant: what it needs, its price formula, its paper."""
    known = methods.table().values()
    if as_json:
        options.print_json([method.to_dict() for method in known])
        return
    width = max(len(method.name) for method in known)
    for method in known:
        needs = ", ".join(method.needs) or "nothing"
        options.echo(f"{method.name:{width}}  needs {needs:15}  costs {method.cost:24}  {method.paper}")
