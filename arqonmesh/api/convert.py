"""Views (msgspec structs of mesh_views.py and node_views.py) to protobuf messages and back, by field name.

Nothing is listed here: a field that both sides name alike travels, and a test holds the names together.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)
V = TypeVar("V", bound=msgspec.Struct)


def to_message(view: msgspec.Struct, message_type: type[M]) -> M:
    """A message with the view's fields; those that are None stay unset."""
    message = message_type()
    fill(message, msgspec.to_builtins(view))
    return message


def to_view(message: Message, view_type: type[V]) -> V:
    """The view that `message` carries; unset optional fields are None."""
    return msgspec.convert(to_builtins(message), view_type)


def fill(message: Message, values: dict[str, Any]) -> None:
    """Set the fields of `message` from plain data; keys that it does not know are left out."""
    for field in message.DESCRIPTOR.fields:
        value = values.get(field.name)
        if value is None:
            continue
        if field.message_type is None:
            if field.is_repeated:
                getattr(message, field.name).extend(value)
            else:
                setattr(message, field.name, value)
        elif _is_map(field):
            getattr(message, field.name).update(value)
        elif field.is_repeated:
            for item in value:
                fill(getattr(message, field.name).add(), item)
        else:
            child = getattr(message, field.name)
            child.SetInParent()
            fill(child, value)


def to_builtins(message: Message) -> dict[str, Any]:
    """Plain data with every field of `message`, None where an optional one is unset."""
    return {field.name: _plain(message, field) for field in message.DESCRIPTOR.fields}


def _plain(message: Message, field: Any) -> Any:
    if field.has_presence and not message.HasField(field.name):
        return None
    value = getattr(message, field.name)
    if _is_map(field):
        return dict(value)
    if field.is_repeated:
        return [item if field.message_type is None else to_builtins(item) for item in value]
    return value if field.message_type is None else to_builtins(value)


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
