"""One signal over a pool, into the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from thresher.cli import _options as options
from thresher.cli._engine import Engine, engine
from thresher.errors import StoreError, UnknownName

if TYPE_CHECKING:
    from thresher.compute.local import Mapper
    from thresher.core.method import Signal
    from thresher.core.pool import Pool
    from thresher.setting import Setting


@click.command(name="measure")
@click.argument("signal")
@click.argument("pool")
@click.option("--target", "targets", metavar="T", multiple=True, help="A target file; may be given several times.")
@options.model
@options.encoder
@options.fields
@options.allow_unconverged
@options.reading
@click.option("--shard", metavar="I/N", help="Every N-th part from the I-th, beside other processes: 1/4 to 4/4.")
@click.option("--join", is_flag=True, help="Join what the shards left; an error where a part is missing.")
@engine
@options.store
@options.parts_at
@options.as_json
def command(
    signal: str, pool: str, targets: tuple[str, ...], model: str | None, encoder: str | None,
    overrides: tuple[str, ...], allow_unconverged: bool,
    format_: str | None, group: str | None, skip_bad: bool, shard: str | None, join: bool, engine: Engine,
    store: str | None, parts_at: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure SIGNAL for every row of POOL; `thresher methods` lists what uses which."""
    import numpy as np

    from thresher import pipeline
    from thresher.compute.local import progress_bar
    from thresher.setting import Setting, Sources

    wanted = _share(shard, join)
    sources = Sources(
        pool=pool, target=targets, model=model, encoder=encoder, format=format_, group=group, skip_bad=skip_bad
    )
    setting = Setting.open(sources, store=options.store_of(store, parts_at))
    built = _built(signal, setting, options.set_fields(overrides, allow_unconverged))
    usable = built.usable(setting.pool)
    rows = setting.pool if usable is None or usable.all() else setting.pool.without(np.flatnonzero(~usable))
    with progress_bar(len(rows), signal, shown=options.bars()) as advance:
        share = None if wanted is None else _Share(*wanted, engine.mapper(advance))
        if share is not None:
            left = pipeline.measure_shard(built, rows, setting.target, store=setting.store, mapper=share)
        else:
            mapper = _Nothing() if join else engine.mapper(advance)
            found = pipeline.measure(built, rows, setting.target, store=setting.store, mapper=mapper)
    if share is not None:
        done = {"signal": signal, "shard": shard, "parts": len(share.done), "finished_before": not left}
        text = "was measured before" if not left else f"{len(share.done)} parts; join when all shards are done (--join)"
        options.print_json(done) if as_json else options.echo(f"{signal}, shard {shard}: {text}")
        return
    key = setting.store.key(built, **found.manifest["inputs"])
    about = {"key": key, "folder": str(setting.store.root / key), "rows": len(rows),
             "left_out": len(setting.pool) - len(rows), "shape": list(found.values.shape),
             **found.receipt.to_dict()}  # fmt: skip
    if as_json:
        options.print_json(about)
    else:
        options.echo(
            f"{signal}: {about['shape']} in {about['folder']} ({about['flops']:.3g} FLOPs, {about['seconds']:.1f} s)"
        )


def _built(name: str, setting: Setting, overrides: dict[str, Any]) -> Signal:
    """The signal with its defaults; one that has none for a field takes those of the first method that uses it."""
    from dataclasses import fields

    from thresher import building, methods
    from thresher.core import registry

    own = fields(registry.get("signals", name))
    line: dict[str, Any] = {"name": name, **{f.name: f"@{f.name}" for f in own if f.name in ("model", "encoder")}}
    if any(f.default is f.default_factory and f.name not in line for f in own):  # both missing
        used = [one for method in methods.table().values() for one in method.signals if one["name"] == name]
        line = {**line, **(used[0] if used else {})}
    made = methods.Method(name, signals=(line,), selector={"name": "uniform"})
    (built,), _ = building.build(made, model=setting.model, scorer=None, encoder=setting.encoder, overrides=overrides)
    return built


def _share(text: str | None, join: bool) -> tuple[int, int] | None:
    """I/N as two numbers.

    Raises:
        UnknownName: it is not, or joining was asked for as well.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UnknownName(f"--shard {text!r} is not I/N with I from 1 to N, such as 2/4.")
    if join:
        raise UnknownName("--shard measures parts and --join joins them: one after the other, not both.")
    return int(match[1]), int(match[2])


class _Share:
    """A mapper that does every N-th part, as another one does them all."""

    def __init__(self, number: int, of: int, mapper: Mapper) -> None:
        self.number, self.of, self.mapper = number, of, mapper
        self.done: list[int] = []

    def map(self, fn: Callable[[int, Pool], None], parts: Iterable[tuple[int, Pool]]) -> None:
        """Run `fn` over them."""
        self.mapper.map(fn, self._own(parts))

    def _own(self, parts: Iterable[tuple[int, Pool]]) -> Iterator[tuple[int, Pool]]:
        for i, part in parts:
            if i % self.of == self.number - 1:
                yield i, part
                self.done.append(i)


class _Nothing:
    """A mapper that finds nothing left to do."""

    def map(self, fn: Callable[[int, Pool], None], parts: Iterable[tuple[int, Pool]]) -> None:
        """Nothing.

        Raises:
            StoreError: a part is missing.
        """
        left = [str(i) for i, _ in parts]
        if left:
            raise StoreError(
                f"{len(left)} parts are not measured yet (numbers {', '.join(left[:5])}): run the missing shards, or "
                "the same command without --join, which measures them."
            )
