"""YAML of strangers: values only, bounded in size, depth and aliases, no key said twice."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 4 << 20  # of a file that people write
DEEPEST = 50  # mappings and lists inside each other
MOST_VALUES = 100_000  # after every alias is followed


class BadYaml(ValueError):
    """What is wrong with a file; the reader adds which file."""


class _Loader(yaml.SafeLoader):
    """No tags that make objects, no depth, and no key twice in one mapping: the second would silently win."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        """One value with what is in it.

        Raises:
            BadYaml: it is nested too deeply.
        """
        self.depth += 1
        if self.depth > DEEPEST:
            raise BadYaml(f"is nested too deeply, over {DEEPEST} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping.

        Raises:
            BadYaml: a key stands twice.
        """
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise BadYaml(f"the key {key.value!r} stands twice, in line {key.start_mark.line + 1} again")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[str, Any]:
    """The mapping that a file holds.

    Raises:
        FileNotFoundError: there is none.
        BadYaml: it cannot be read, is too large, or is no mapping.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadYaml(f"is over {MOST_BYTES >> 20} MB, far more than anybody writes")
    try:
        values = yaml.load(content.decode("utf-8"), _Loader)  # noqa: S506 - a safe loader
        size = _size(values, {}, ())
    except UnicodeDecodeError as error:
        raise BadYaml(f"is not UTF-8 at byte {error.start}") from error
    except BadYaml:
        raise
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise BadYaml(f"is not YAML: {error}") from error
    if size > MOST_VALUES:
        raise BadYaml(f"holds over {MOST_VALUES:,} values once its aliases (*name) are followed")
    if not isinstance(values, dict):
        raise BadYaml("must be a mapping of names to values")
    return values


def _size(value: Any, known: dict[int, int], above: tuple[int, ...]) -> int:  # noqa: ANN401
    """Values inside, counted as often as aliases repeat them; each is looked at once.

    Raises:
        BadYaml: an alias of itself.
    """
    if not isinstance(value, (dict, list, set, tuple)):
        return 1
    if id(value) in above:
        raise BadYaml("holds an alias of itself")
    if id(value) not in known:
        inner = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        known[id(value)] = 1 + sum(_size(one, known, (*above, id(value))) for one in inner)
    return known[id(value)]
