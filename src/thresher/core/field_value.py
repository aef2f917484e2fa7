"""A value of a method's or recipe's field, held against the field's annotation before anything runs."""

from __future__ import annotations

import re
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_SAID = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null",
         tuple: "a list of numbers"}  # fmt: skip
_POWER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def fitted(hint: Any, value: Any) -> Any:  # noqa: ANN401 - values of any field
    """The value as the field takes it: 25 is 25.0 where the field is a float, so that both have one key.

    Raises:
        ValueError: it cannot be; the message says what could.
    """
    for kind in _kinds(hint):
        if kind is float and type(value) is int:
            return float(value)
        if kind is float and isinstance(value, str) and _POWER.fullmatch(value):
            return float(value)  # YAML reads 2e-4 as text, and 2.0e-4 as a number
        if kind is tuple and isinstance(value, list) and all(type(one) in (int, float) for one in value):
            return tuple(map(float, value))  # JSON has lists only; tuples of fields are of numbers
        if _holds(kind, value):
            return value
    raise ValueError(f"must be {' or '.join(map(_said, _kinds(hint)))}, not {value!r}")


def _holds(kind: Any, value: Any) -> bool:  # noqa: ANN401
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(value, bool):  # which Python takes for a number
        return kind is bool or not isinstance(kind, type)
    return not isinstance(kind, type) or isinstance(value, kind)


def _kinds(hint: Any) -> list[Any]:  # noqa: ANN401
    """What a field may hold, one by one."""
    if get_origin(hint) is Annotated:
        return _kinds(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [kind for part in get_args(hint) for kind in _kinds(part)]
    return [get_origin(hint) or hint] if get_origin(hint) is not Literal else [hint]


def _said(kind: Any) -> str:  # noqa: ANN401
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    return _SAID.get(kind, getattr(kind, "__name__", str(kind)))
