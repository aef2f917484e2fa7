"""One signal over a pool, into the store."""

from __future__ import annotations

import click

from thresher.cli import _options as options


@click.command(name="measure")
@click.argument("signal")
@click.argument("pool")
@click.option("--target", "targets", metavar="T", multiple=True, help="A target file; may be given several times.")
@options.model
@options.encoder
@options.fields
@options.reading
@options.store
@options.as_json
def command(
    signal: str, pool: str, targets: tuple[str, ...], model: str | None, encoder: str | None,
    overrides: tuple[str, ...],
    format_: str | None, group: str | None, skip_bad: bool, store: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure SIGNAL for every row of POOL; `thresher methods` lists what uses which."""
    from dataclasses import fields

    import numpy as np

    from thresher import building, methods, pipeline
    from thresher.compute.local import Local, progress_bar
    from thresher.core import registry
    from thresher.setting import Setting, Sources

    cls = registry.get("signals", signal)
    sources = Sources(
        pool=pool, target=targets, model=model, encoder=encoder, format=format_, group=group, skip_bad=skip_bad
    )
    setting = Setting.open(sources, store=options.store_of(store))
    own = [f.name for f in fields(cls)]
    line: dict = {"name": signal, **{name: f"@{name}" for name in ("model", "encoder") if name in own}}
    made = methods.Method(signal, signals=(line,), selector={"name": "uniform"})
    (built,), _ = building.build(
        made, model=setting.model, scorer=None, encoder=setting.encoder, overrides=options.set_fields(overrides)
    )
    usable = built.usable(setting.pool)
    rows = setting.pool if usable is None or usable.all() else setting.pool.take(np.flatnonzero(usable))
    with progress_bar(len(rows), signal) as advance:
        found = pipeline.measure(built, rows, setting.target, store=setting.store, mapper=Local(advance))
    key = setting.store.key(built, **found.manifest["inputs"])
    about = {"key": key, "folder": str(setting.store.root / key), "rows": len(rows),
             "left_out": len(setting.pool) - len(rows), "shape": list(found.values.shape),
             **found.receipt.to_dict()}  # fmt: skip
    if as_json:
        options.print_json(about)
    else:
        click.echo(
            f"{signal}: {about['shape']} in {about['folder']} ({about['flops']:.3g} FLOPs, {about['seconds']:.1f} s)"
        )
