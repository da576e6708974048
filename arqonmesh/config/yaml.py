"""YAML to plain data, each value with the line it stands on.

A subset, read strictly: mappings with text keys, sequences, plain and quoted scalars. Refused: duplicate keys, tags
(`!!python/...`), several documents, files above 256 KiB, nesting above 16 levels, more than 10,000 values after
aliases are followed (which ends "billion laughs" early). Plain scalars follow YAML 1.2's core schema
(https://yaml.org/spec/1.2.2/#103-core-schema), so `on`, `no` and `12:30` are text and not what YAML 1.1 makes of
them; `15_000` is an integer, as in the documentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from arqonmesh.config.problems import PROBLEMS_MAX, Origin, Problem, dotted

BYTES_MAX: Final = 256 * 1_024
DEPTH_MAX: Final = 16
VALUES_MAX: Final = 10_000

_NOTHING: Final = object()
"""In place of what was refused."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER: Final = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge")
)
"""What PyYAML's resolver puts on untagged values; an explicit tag of these is harmless, as we resolve ourselves."""


@dataclass(slots=True)
class Document:
    """Plain data and, for every path in it, the line (from 1) where its key or item stands."""

    data: dict[str, Any]
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)


class _Unreadable(Exception):
    """There is nothing to go on with."""

    def __init__(self, code: str, sentence: str, origin: Origin) -> None:
        self.problem = Problem(code, "", sentence, origin)


def parse(text: bytes, name: str, found: list[Problem] | None = None) -> Document:
    """Read one document. `name` is the file's, for messages.

    What is wrong goes to `found`, and the rest is read as far as possible. Without it, raises ConfigError.
    """
    problems: list[Problem] = [] if found is None else found
    document = Document({})
    try:
        if len(text) > BYTES_MAX:
            sentence = f"the file has {len(text):,} bytes; it needs to have at most {BYTES_MAX:,}"
            raise _Unreadable("config.too-large", sentence, Origin("file", name))
        root = _composed(text, name)
        if isinstance(root, MappingNode):
            document.data = _Reader(name, document.lines, problems).mapping(root, ())
        elif root is not None:
            sentence = f"the file holds {_kind(root)}; it needs to hold sections such as `node:` and `listen:`"
            raise _Unreadable("config.type", sentence, Origin("file", name))
    except _Unreadable as unreadable:
        problems.append(unreadable.problem)
    if found is None and problems:
        raise problems[0].error()
    return document


def _composed(text: bytes, name: str) -> Node | None:
    try:
        _check_depth(text, name)
        return yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _syntax(error, name) from error


def scalar(text: str) -> Any:
    """A plain scalar's value in YAML 1.2's core schema."""
    match text:
        case "" | "~" | "null" | "Null" | "NULL":
            return None
        case "true" | "True" | "TRUE":
            return True
        case "false" | "False" | "FALSE":
            return False
    if len(text) <= 40:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text


class _Reader:
    def __init__(self, name: str, lines: dict[tuple[str | int, ...], int], problems: list[Problem]) -> None:
        self._name = name
        self._lines = lines
        self._problems = problems
        self._left = VALUES_MAX

    def mapping(self, node: MappingNode, path: tuple[str | int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self._refuse("config.syntax", (), f"a key is {_kind(key_node)}; it needs to be a name", line)
                continue
            here = (*path, key)
            if key in found:
                sentence = f"{dotted(here)} is given twice; it needs to be given once"
                self._refuse("config.duplicate-key", here, sentence, line, self._lines[here])
                continue
            self._lines[here] = line
            value = self._value(value_node, here)
            if value is not _NOTHING:
                found[key] = value
        return found

    def _value(self, node: Node, path: tuple[str | int, ...]) -> Any:
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0 or len(path) > DEPTH_MAX:
            raise _Unreadable(
                "config.too-large",
                f"the file holds more than {VALUES_MAX:,} values or {DEPTH_MAX} levels, aliases followed",
                Origin("file", self._name, line),
            )
        if node.tag not in _PLAIN_TAGS:
            self._refuse("config.syntax", path, f"{dotted(path)} has the tag {node.tag}, which is not read", line)
            return _NOTHING
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            items = []
            for position, item in enumerate(node.value):
                here = (*path, position)
                self._lines[here] = item.start_mark.line + 1
                value = self._value(item, here)
                if value is not _NOTHING:
                    items.append(value)
            return items
        assert isinstance(node, ScalarNode)
        return node.value if node.style else scalar(node.value)

    def _refuse(self, code: str, path: tuple[str | int, ...], sentence: str, line: int, first_line: int = 0) -> None:
        if len(self._problems) < PROBLEMS_MAX:
            origin = Origin("file", self._name, line, first_line=first_line)
            self._problems.append(Problem(code, dotted(path), sentence, origin))


def _check_depth(text: bytes, name: str) -> None:
    """Events first: composing a deep nest recurses, reading its events does not."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise _Unreadable(
                    "config.too-large",
                    f"the file nests deeper than {DEPTH_MAX} levels",
                    Origin("file", name, _line(event)),
                )
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1


def _syntax(error: Exception, name: str) -> _Unreadable:
    mark = getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    return _Unreadable("config.syntax", str(problem), Origin("file", name, line, column))


def _line(event: yaml.events.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0


def _kind(node: Node) -> str:
    return "a list" if isinstance(node, SequenceNode) else "a mapping" if isinstance(node, MappingNode) else "one value"
