"""A run's YAML: methods x budgets x seeds on one pool, target, model and recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from thresher import methods
from thresher.core import plain_yaml
from thresher.core.suggest import unknown
from thresher.errors import RecipeError
from thresher.evaluation.task import Task
from thresher.planning.results import EQUAL_EPOCHS, EQUAL_STEPS
from thresher.setting import Sources
from thresher.stages import Stage, protocols_of, recipe_of, second_of
from thresher.training.recipe import Recipe


@dataclass(frozen=True)
class Arm:
    """A method as a run names it, with the fields it sets."""

    label: str
    method: str
    overrides: Mapping[str, object] = field(default_factory=dict)
    matching: str | None = None  # an arm whose total FLOPs, choosing included, this one may spend on rows
    scorer: str | None = None  # the model that reads the pool for it, instead of the run's


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a run does.

    Relative paths are taken from the file's own folder. `arms` are written as `methods:`, each a name or
    `{method: NAME, label: TEXT, set: {field: value}, matching: LABEL, scorer: MODEL}`. With `scorers:` every method
    that reads the pool with one is an arm for each of them. `like: OTHER.yaml` takes every key that is not in this
    file from another one in the same folder.

    Attributes:
        protocols: equal-epochs, equal-steps or both; of each the models are trained anew, on the same rows.
        steps: of equal-steps; None: as many as the largest subset takes under equal epochs.
        second: a stage that every trained model goes through after the chosen rows; it is on every bill.
        in_domain: tasks that are what the pool is about; the report shows the others apart.
    """

    sources: Sources
    arms: tuple[Arm, ...]
    budgets: tuple[str, ...]
    seeds: tuple[int, ...]
    recipe: Recipe
    tasks: tuple[Task, ...]
    protocols: tuple[str, ...] = (EQUAL_EPOCHS,)
    steps: int | None = None
    second: Stage | None = None
    in_domain: tuple[str, ...] = ()
    workers: int | None = None
    threads: int | None = None
    keep_models: bool = False
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"

    @classmethod
    def read(cls, path: Path) -> Spec:
        """A run from its file.

        Raises:
            RecipeError: the file is missing, is not YAML, or says something that does not exist.
        """
        return cls.from_dict(_keys(path), folder=path.parent)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, folder: Path) -> Spec:
        """A run from plain values.

        Raises:
            RecipeError: a key that does not exist, or one that is missing.
        """
        values = dict(values)
        source_names = [f.name for f in fields(Sources)]
        known = [
            *source_names,
            "methods",
            "scorers",
            "budgets",
            "seeds",
            "recipe",
            "stages",
            "protocols",
            "steps",
            "tasks",
            "in_domain",
            "workers",
            "threads",
            "keep_models",
            "dtype",
        ]
        for name in values:
            if name not in known:
                raise RecipeError("run: " + unknown("key", str(name), known))
        for name in NEEDED:
            if not values.get(name):
                raise RecipeError(f"run: the key {name!r} is missing. Needed: {', '.join(NEEDED)}.")
        named = {key: values[key] for key in source_names if key in values}
        target = named.get("target") or ()
        named["target"] = tuple(_path(t, folder) for t in ([target] if isinstance(target, str) else target))
        only = named.get("only") or ()
        named["only"] = tuple(map(str, _listed(only)))
        named["pool"] = _path(named["pool"], folder)
        second = None
        if values.get("stages"):
            if values.get("recipe"):
                raise RecipeError("run: with `stages` the recipe of the chosen rows is stages.first, not `recipe`.")
            recipe, second = second_of(values["stages"], folder)
        else:
            recipe = recipe_of(values.get("recipe"), folder)
        protocols, steps = protocols_of(values, recipe)
        return cls(
            sources=Sources(**named),
            arms=_arms(values["methods"], values.get("scorers")),
            budgets=tuple(map(str, _listed(values["budgets"]))),
            seeds=tuple(map(int, _listed(values["seeds"]))),
            recipe=recipe if protocols == (EQUAL_STEPS,) and recipe.steps else recipe.with_steps(None),
            tasks=tuple(_task(task, folder) for task in values["tasks"]),
            protocols=protocols,
            steps=steps,
            second=second,
            in_domain=_in_domain(values),
            workers=values.get("workers"),
            threads=values.get("threads"),
            keep_models=bool(values.get("keep_models", False)),
            dtype=values.get("dtype", "auto"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for run.json."""
        return {
            "sources": asdict(self.sources),
            "methods": [
                {k: v for k, v in asdict(arm).items() if k != "scorer" or v is not None} for arm in self.arms
            ],
            "budgets": list(self.budgets),
            "seeds": list(self.seeds),
            "recipe": self.recipe.to_dict(),
            "protocols": list(self.protocols),
            "steps": self.steps,
            "second": None if self.second is None else asdict(self.second),
            "tasks": [asdict(task) for task in self.tasks],
            "in_domain": list(self.in_domain),
            "dtype": self.dtype,
        }


_ARM_KEYS = ("method", "label", "set", "matching", "scorer")
NEEDED = ("pool", "model", "methods", "budgets", "seeds", "tasks")


def _keys(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The keys of a file, and those of the file it is like.

    Raises:
        RecipeError: the file is missing, is not YAML, or is like itself.
    """
    try:
        values = plain_yaml.read(path)
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {path}.") from None
    except (plain_yaml.BadYaml, OSError) as error:
        raise RecipeError(f"{path}: {error}. A run needs {', '.join(NEEDED)}.") from None
    other = values.pop("like", None)
    if other is None:
        return values
    if path in seen or not isinstance(other, str) or Path(other).name != other:
        raise RecipeError(f"{path}: `like` names another recipe in the same folder, not {other!r}.")
    return {**_keys(path.parent / other, (*seen, path)), **values}


def _listed(value: Any) -> list:  # noqa: ANN401
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _path(source: str, folder: Path) -> str:
    """A path beside the file, if there is one; hub names and `demo` stay."""
    beside = folder / source
    return str(beside.resolve()) if beside.exists() else source


def _arms(lines: Any, scorers: Any) -> tuple[Arm, ...]:  # noqa: ANN401
    """The arms in order; one for each of several scorers where the method reads the pool with one."""
    named = [None] if not scorers else [str(one) for one in _listed(scorers)]
    return tuple(
        replace(arm, scorer=scorer) if scorer else arm
        for arm in map(_arm, lines)
        for scorer in (named if "scorer" in methods.get(arm.method).needs and arm.scorer is None else [None])
    )


def _arm(line: Any) -> Arm:  # noqa: ANN401
    if isinstance(line, str):
        return Arm(line, methods.get(line).name)
    if not isinstance(line, Mapping) or "method" not in line:
        raise RecipeError(
            f"run: a method is a name, or {{method: NAME, label: TEXT, set: {{field: value}}}}, not {line!r}."
        )
    for key in line:
        if key not in _ARM_KEYS:
            raise RecipeError("run: " + unknown("key of a method", str(key), _ARM_KEYS))
    name = methods.get(str(line["method"])).name
    overrides = dict(line.get("set") or {})
    return Arm(str(line.get("label", name)), name, overrides, line.get("matching"), line.get("scorer"))


def _in_domain(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks that are what the pool is about.

    Raises:
        RecipeError: a name that no task has.
    """
    names = tuple(map(str, _listed(values.get("in_domain") or ())))
    known = [
        str(task.get("task", task.get("like"))) for task in values["tasks"]
        if isinstance(task, Mapping) and ("task" in task or "like" in task)
    ]  # fmt: skip
    for name in names:
        if known and name not in known:
            raise RecipeError("run: in_domain: " + unknown("task", name, known))
    return names


def _task(task: Any, folder: Path) -> Task:  # noqa: ANN401
    if isinstance(task, str):
        return Task.read(folder / task) if (folder / task).is_file() else Task.find(task)
    if isinstance(task, Mapping) and task.get("run_programs"):
        raise RecipeError("run: no file gives leave to run programs; score them with thresher evaluate --run-programs.")
    return Task.from_dict(task, folder=folder)
