"""What the commands answer, as records. Fields that a newer bus adds are skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from arqonmesh.client.message import Message, read
from arqonmesh.client.resume import Gap


class Receipt(Struct, frozen=True):
    """The bus has taken it: its id, and to how many clients of that node it went."""

    id: str
    delivered: int = 0


class Member(Struct, frozen=True):
    """Someone in a channel."""

    client_id: str
    name: str = ""
    type: str = ""
    """human, dashboard, ai-agent, service ...; empty when it was not said."""
    since: str = ""
    """When it joined, ISO 8601; empty where the bus does not tell."""
    node: str = ""


class Presence(Struct, frozen=True):
    """Somebody `joined` or `left` a channel."""

    event: str
    client_id: str
    members: int = 0
    name: str = ""
    type: str = ""


class Page(Struct, frozen=True):
    """Part of a channel's history, oldest first. Iterable."""

    messages: tuple[Message, ...]
    more: bool = False
    """There are others that fit the question; with `since` later ones, else older ones."""
    truncated: bool = False
    """Fewer than asked for, because one answer carries only so many bytes."""
    position: Mapping[str, int] = {}
    """Where the channel stood, {epoch: offset}."""
    gaps: tuple[Gap, ...] = ()
    """With a position as `since`: stretches of which nobody there can tell whether there was anything."""

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)


class _HistoryAnswer(Struct):
    messages: list[Raw]
    more: bool = False
    truncated: bool = False
    position: dict[str, int] = {}
    gaps: tuple[Gap, ...] = ()


class _Info(Struct):
    members: list[Member] = []


class _ChannelAnswer(Struct):
    channel: _Info


def page_of(answer: Message) -> Page:
    told = msgspec.json.decode(answer.payload_, type=_HistoryAnswer)
    frames = (read(bytes(raw)) for raw in told.messages)
    found = tuple(message for message in frames if message is not None)
    return Page(found, told.more, told.truncated, told.position, told.gaps)


def members_of(answer: Message) -> list[Member]:
    return msgspec.json.decode(answer.payload_, type=_ChannelAnswer).channel.members


def presence_of(message: Message) -> Presence | None:
    """A notice as presence; None when it says something else."""
    told: Any = message.payload
    if not isinstance(told, dict) or told.get("event") not in ("joined", "left"):
        return None
    try:
        return msgspec.convert(told, Presence)
    except msgspec.ValidationError:
        return None
