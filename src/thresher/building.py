"""A line of methods.toml -> signals and a selector, with the named models and the user's fields put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from thresher.core import registry
from thresher.core.field_value import fitted
from thresher.core.method import Selector, Signal
from thresher.core.suggest import unknown
from thresher.errors import FieldError, ModelError, UnknownName
from thresher.methods import Method


def build(
    method: Method, *, model: str | None, scorer: str | None, overrides: Mapping[str, object] | None = None
) -> tuple[list[Signal], Selector]:
    """Signals and selector, with the named models put in.

    Args:
        method: from `get`.
        model: the trained model's resolved path.
        scorer: the resolved path of the model that reads the pool; without one the trained model does.
        overrides: fields set on the command line or in a recipe; a field goes wherever it exists, `signal.field`
            to one place.

    Raises:
        UnknownName: a field that neither a signal nor the selector has.
        FieldError: a value that a field cannot have.
        ModelError: the method reads the pool with a model and none was named.
    """
    models = {"@model": model or "", "@scorer": scorer or model}
    parts = [("signals", dict(line)) for line in method.signals] + [("selectors", dict(method.selector))]
    _override(parts, dict(overrides or {}))
    built = []
    for folder, line in parts:
        name = str(line.pop("name"))
        values = {key: models.get(value, value) if isinstance(value, str) else value for key, value in line.items()}
        if any(value is None for value in values.values()):
            raise ModelError(
                f"{method.name} reads the pool with a model. Name one with --scorer (a small one) or --model."
            )
        built.append(_instance(registry.get(folder, name), name, values))
    return built[:-1], built[-1]


def _override(parts: list[tuple[str, dict[str, Any]]], overrides: Mapping[str, object]) -> None:
    for key, value in overrides.items():
        owner, _, name = key.rpartition(".")
        hits, known = 0, []
        for folder, line in parts:
            own = [f.name for f in fields(registry.get(folder, line["name"]))]
            known += [f"{line['name']}.{one}" for one in own]
            head = name if not owner or owner == line["name"] else None
            if head in own:
                line[str(head)] = value
                hits += 1
            elif owner.startswith(line["name"] + ".") or owner in own:  # a field of a field, such as tuning.rows
                outer = owner.removeprefix(line["name"] + ".")
                if outer in own:
                    line[outer] = {**dict(line.get(outer, {})), name: value}
                    hits += 1
        if not hits:
            raise UnknownName(unknown("field", key, known))


def _instance(cls: type, name: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """A method from plain values; a table becomes the dataclass the field is annotated with.

    Raises:
        UnknownName: a name that does not exist.
        FieldError: a value the field cannot have.
    """
    hints = get_type_hints(cls)
    known = {f.name for f in fields(cls)}
    for key in values:
        if key not in known:
            raise UnknownName(unknown(f"field of {name}", key, known))
    return cls(**{key: _value(hints[key], f"{name}.{key}", value) for key, value in values.items()})


def _value(hint: Any, name: str, value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping) and is_dataclass(hint):
        return _instance(hint, name, value)
    try:
        return fitted(hint, value)
    except ValueError as error:
        raise FieldError(f"{name} {error}.") from None
