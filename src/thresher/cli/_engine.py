"""Where parts are worked through: options that several commands share, and the mapper they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from thresher.cli import _lines
from thresher.errors import UnknownName

if TYPE_CHECKING:
    from thresher.compute.local import Mapper, Work
    from thresher.compute.ray import Ray


@dataclass(frozen=True)
class Engine:
    """Processes of this machine, or a Ray cluster."""

    name: str
    workers: int | None
    address: str | None
    cpus: int
    gpus: float | None

    def mapper(self, progress: Work | None) -> Mapper:
        """What maps parts."""
        if self.name == "ray":
            return self.ray(progress)
        from thresher.compute.processes import Processes

        return Processes(self.workers, progress)

    def ray(self, progress: Work | None = None) -> Ray:
        """The cluster."""
        from thresher.compute.ray import Ray

        return Ray(self.address, self.workers, self.cpus, self.gpus, progress=progress)

    @contextmanager
    def shown(self, rows: int, label: str) -> Iterator[Mapper]:
        """The mapper, with a bar on stderr."""
        from thresher.compute.local import progress_bar

        with progress_bar(rows, label, shown=_lines.bars()) as advance:
            yield self.mapper(advance)


def engine(command: Callable) -> Callable:
    """Hand the command an `engine`."""

    @wraps(command)
    def gathered(
        *args: Any, workers: int | None, engine: str, ray_address: str | None, ray_cpus: int, ray_gpus: float | None,
        **others: Any,
    ) -> Any:  # fmt: skip
        if engine != "ray" and (ray_address is not None or ray_gpus is not None or ray_cpus != 1):
            raise UnknownName("--ray-address, --ray-cpus and --ray-gpus are of Ray: add --engine ray.")
        return command(*args, engine=Engine(engine, workers, ray_address, ray_cpus, ray_gpus), **others)

    for option in reversed([
        click.option("--workers", type=click.IntRange(1), metavar="N",
                     help="Processes side by side, one thread each [one a core where the work is long enough]."),
        click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True,
                     help="This machine, or a Ray cluster."),
        click.option("--ray-address", metavar="A", help="Of a running cluster [RAY_ADDRESS, else Ray starts here]."),
        click.option("--ray-cpus", type=click.IntRange(1), default=1, metavar="N", help="Of each worker [1]."),
        click.option("--ray-gpus", type=click.FloatRange(0.0), metavar="SHARE",
                     help="Of each worker; 0.5 puts two on a device [1 for models, where there are any]."),
    ]):  # fmt: skip
        gathered = option(gathered)
    return gathered
