"""Every setting of the model by its dotted name, with what people need to know of it.

Read once from the model: types and defaults from msgspec, documentation from the string under each field.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from msgspec import inspect as mi

from arqonmesh.config import model
from arqonmesh.config.model import Config


@dataclass(frozen=True, slots=True)
class Setting:
    """One value (`section` False) or one group of them."""

    path: tuple[str, ...]
    type: mi.Type
    default: Any
    """`msgspec.NODEFAULT` when the operator has to give it."""
    section: bool
    field: tuple[str, str]
    """The struct that has it, and what it is called there."""
    hot: bool = False
    """A running node takes a new value at once; a setting without this mark takes a restart."""
    secret: bool = False
    """Its value is never shown."""

    @property
    def doc(self) -> str:
        """What people need to know of it: the string under the field, or a section's own docstring."""
        struct, name = self.field
        found = _docs()[struct].get(name, "")
        return found or (_docs()[self.type.cls.__name__].get("", "") if isinstance(self.type, mi.StructType) else "")

    @property
    def name(self) -> str:
        """As it is written in messages: `bus.clients_max`."""
        return ".".join(self.path)

    @property
    def needs(self) -> str:
        """What fits, in words: "an integer from 0 to 100,000"."""
        return describe(self.type)


@cache
def settings() -> dict[tuple[str, ...], Setting]:
    """All sections and values in the model's order; the root is not among them."""
    whole = mi.type_info(Config)
    assert isinstance(whole, mi.StructType)
    return {setting.path: setting for setting in _walk(whole, ())}


def _walk(struct: mi.StructType, prefix: tuple[str, ...]) -> Iterator[Setting]:
    for field in struct.fields:
        path = (*prefix, field.encode_name)
        kind, marks = _unmarked(field.type)
        section = isinstance(kind, mi.StructType)
        hot, secret = marks.get("hot", False), marks.get("secret", False)
        yield Setting(path, kind, field.default, section, (struct.cls.__name__, field.name), hot, secret)
        if isinstance(kind, mi.StructType):
            yield from _walk(kind, path)


def _unmarked(kind: mi.Type) -> tuple[mi.Type, dict[str, Any]]:
    """The type itself, and the marks of `model.Hot` and `model.Secret`."""
    return (kind.type, kind.extra or {}) if isinstance(kind, mi.Metadata) else (kind, {})


@cache
def _docs() -> dict[str, dict[str, str]]:
    """Class name -> field name -> the string under it; the class's own docstring under ""."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(model)).body:
        if isinstance(node, ast.ClassDef):
            fields = found[node.name] = {"": " ".join((ast.get_docstring(node) or "").split())}
            for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    fields[statement.target.id] = _text(following)
    return found


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def describe(kind: mi.Type) -> str:
    """A type and its bounds in words."""
    match kind:
        case mi.IntType():
            return "an integer" + _bounds(kind)
        case mi.FloatType():
            return "a number" + _bounds(kind)
        case mi.BoolType():
            return "true or false"
        case mi.LiteralType():
            *some, last = [str(value) for value in kind.values]
            return f"one of {', '.join(some)} or {last}" if some else last
        case mi.StrType():
            least = f"{kind.min_length:,} to" if kind.min_length else "at most"
            return "text" + (f" of {least} {kind.max_length:,} characters" if kind.max_length else "")
        case mi.VarTupleType(item_type=mi.StructType(fields=fields)):
            return "a list of groups of " + ", ".join(field.encode_name for field in fields)
        case mi.VarTupleType():
            most = f"at most {kind.max_length:,}" if kind.max_length else "any number"
            if kind.min_length and kind.max_length:
                most = f"{kind.min_length:,} to {kind.max_length:,}"
            return f"a list of {most}, each {describe(kind.item_type)}"
        case mi.StructType():
            return "a group of settings"
    raise AssertionError(f"config/model.py uses a type that has no words yet: {kind}")


def _bounds(kind: mi.IntType | mi.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:,} to {kind.le:,}"
    if kind.gt is not None:
        return f" above {kind.gt:,}"
    return f" of at least {kind.ge:,}" if kind.ge is not None else ""
