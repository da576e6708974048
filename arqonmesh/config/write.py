"""A commented arqon.yaml: what `arqon init` was told stands written out, everything else as a comment to uncomment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any, Final

import msgspec

from arqonmesh.config.fields import Setting, settings
from arqonmesh.config.load import loads
from arqonmesh.config.schema import EDITOR_LINE
from arqonmesh.config.yaml import scalar

_HEAD: Final = """\
# Settings of one ArqonMesh node. Commented lines show the defaults; remove the '#' to change one.
# The environment wins over this file: ARQON_BUS__CLIENTS_MAX=100 sets bus.clients_max.
"""

_WIDTH: Final = 110


def render(values: Mapping[str, Any], schema: str = "") -> str:
    """The file's text. `values` is nested like the file: `{"node": {"cluster": "hq"}}`. `schema`: where the JSON Schema
    is, for editors; relative to the file.

    What is written loads back as the same settings. Raises ConfigError when `values` are not settings.
    """
    meant = loads(json.dumps(values).encode(), "the given settings")  # JSON is YAML
    head = f"{EDITOR_LINE.format(schema)}\n{_HEAD}" if schema else _HEAD
    text = head + "\n".join(_lines(values)) + "\n"
    assert loads(text.encode()) == meant, "what is written has to load back as what was meant"
    return text


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    given = dict(_flatten(values, ()))
    for setting in settings().values():
        indent = "  " * (len(setting.path) - 1)
        if setting.section:
            if not indent:
                yield ""
            yield from _comment(indent, setting.doc)
            yield f"{indent}{setting.path[-1]}:"
            continue
        yield from _comment(indent, setting.doc)
        if setting.path in given:
            yield f"{indent}{setting.path[-1]}: {_show(given[setting.path])}"
        else:
            default = effective_default(setting)
            yield f"{indent}#{setting.path[-1]}: {_show('' if default is msgspec.NODEFAULT else default)}"


def _comment(indent: str, text: str) -> Iterator[str]:
    for line in wrap(text, _WIDTH - len(indent)):
        yield f"{indent}# {line}"


def effective_default(setting: Setting) -> Any:
    """What holds when the file says nothing, as plain data; `msgspec.NODEFAULT` when the operator has to say it.

    A section's own default may differ from its struct's: `federation.import.allow` is `["*"]`.
    """
    for depth in range(1, len(setting.path)):
        owner = settings()[setting.path[:depth]].default
        if owner is not msgspec.NODEFAULT:
            value: Any = msgspec.to_builtins(owner)
            for part in setting.path[depth:]:
                value = value[part]
            return value
    return setting.default


def _flatten(values: Mapping[str, Any], prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in values.items():
        path = (*prefix, key)
        if isinstance(value, Mapping):
            yield from _flatten(value, path)
        else:
            yield path, value


def _show(value: Any) -> str:
    """As YAML: text stays plain where it reads back as itself."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(json.dumps(item, ensure_ascii=False) for item in value) + "]"
    if isinstance(value, str):
        plain = value and scalar(value) == value and value.replace(".", "").replace("-", "").isalnum()
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
