"""The task files that come with the package, and `like`, which takes fields from one of them or from a neighbour."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from thresher.core import plain_yaml
from thresher.core.suggest import unknown
from thresher.errors import TaskError

HOME = files("thresher.evaluation") / "tasks"


def names() -> list[str]:
    """What there is, sorted."""
    return sorted(Path(one.name).stem for one in HOME.iterdir() if one.name.endswith(".yaml"))


def values(name: str) -> dict[str, Any]:
    """The fields of a packaged task.

    Raises:
        TaskError: there is none of that name.
    """
    if name not in names():
        raise TaskError(unknown("task", name, names()) + " Or give a file: TASK.yaml.")
    return yaml.safe_load((HOME / f"{name}.yaml").read_text(encoding="utf-8"))


def merged(own: dict[str, Any], folder: Path, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a task with those of the one it is `like`; its data path is then `data_in`.

    A measure of one's own leaves the other's metrics behind.

    Raises:
        TaskError: there is no such task, or it is like itself.
    """
    other = own.pop("like", None)
    if other is None:
        return own
    if not isinstance(other, str) or other in seen:
        raise TaskError(f"task: `like` names a packaged task or a task file beside this one, not {other!r}.")
    beside = folder / other
    if beside.is_file():
        try:
            read = plain_yaml.read(beside)
        except (plain_yaml.BadYaml, OSError) as error:
            raise TaskError(f"{beside}: {error}.") from None
    else:
        read = values(other)
    if read.get("run_programs"):
        raise TaskError(f"{beside}: no file gives leave to run programs; say --run-programs on the command line.")
    taken = merged(dict(read), folder, (*seen, other))
    if own.get("measure", taken.get("measure")) != taken.get("measure"):
        taken.pop("metrics", None)
    if "data" in own:
        own["data_in"] = own.pop("data")
    return {**taken, **own}
