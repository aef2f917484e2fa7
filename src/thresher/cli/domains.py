"""Which sources of a pool lie closest to a target, before any row is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from thresher.cli import _options as options


@click.command(name="domains")
@click.argument("pool")
@click.option("--target", "targets", metavar="T", multiple=True, required=True, help="A target file; several may be.")
@options.encoder
@options.model
@options.reading
@click.option("--only", metavar="GROUP", multiple=True, help="Compare this source; several times for more.")
@options.packing
@click.option("--keep", type=int, default=2, show_default=True, help="Sources that are kept.")
@click.option("--rows", type=int, default=10_000, show_default=True, help="Of the sample from each source.")
@click.option("--epsilon", type=float, default=0.03, show_default=True, help="In units of the mean cost.")
@click.option("--allow-unconverged", is_flag=True, help="Take costs that missed the tolerance.")
@click.option("--out", type=Path, metavar="FILE", help="Also write what is found as JSON.")
@options.seed
@options.store
@options.as_json
def command(
    pool: str, targets: tuple[str, ...], encoder: str | None, model: str | None, format_: str | None,
    group: str | None, skip_bad: bool, only: tuple[str, ...], pack: int | None, pack_at: Any,  # noqa: ANN401
    keep: int, rows: int, epsilon: float, allow_unconverged: bool, out: Path | None, seed: int, store: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Transport cost of each source of POOL to the target; without --encoder, in hashed words."""
    import json

    from thresher.compute import bill
    from thresher.core.store import write_bytes
    from thresher.domains import Domains, closest
    from thresher.setting import Setting, Sources
    from thresher.signals._transport import Settings
    from thresher.signals.embed import Embed
    from thresher.signals.hashed_ngrams import HashedNgrams

    sources = Sources(
        pool=pool, target=targets, model=model, encoder=encoder, format=format_, group=group, skip_bad=skip_bad,
        only=only, pack=pack, pack_at=pack_at,
    )  # fmt: skip
    setting = Setting.open(sources, store=options.store_of(store))
    assert setting.target is not None, "--target is required"
    found = closest(
        setting.pool, setting.target, HashedNgrams() if setting.encoder is None else Embed(encoder=setting.encoder),
        settings=Settings(epsilon=epsilon), how=Domains(keep=keep, rows=rows, seed=seed), store=setting.store,
        excluded=setting.excluded, allow_unconverged=allow_unconverged,
    )  # fmt: skip
    said = {**found.to_dict(), "flops": bill.charged_flops(found.receipts)}
    if out is not None:
        write_bytes(out, json.dumps(said, indent=1, ensure_ascii=False).encode())
    if as_json:
        options.print_json(said)
    else:
        _show(said)


def _show(said: dict[str, Any]) -> None:
    width = max(len(line["source"]) for line in said["sources"])
    for line in said["sources"]:
        options.echo(
            f"{line['source']:{width}}  cost {line['cost']:.5g}  {line['sampled']:,} of {line['rows']:,} rows  "
            f"{line['sweeps']} sweeps to {line['marginal_error']:.2g}"
            + ("" if line["converged"] else " (not converged)")
            + ("  kept" if line["kept"] else "")
        )
    options.echo(f"read as {said['feature']}; {said['flops']:.3g} FLOPs")
