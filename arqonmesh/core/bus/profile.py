"""What a client says of itself: its type, its name for people, its personality, its avatar. Nobody checks it.

Given at the handshake (`?type=ai-agent&screen_name=Ada&personality=terse&avatar=🦉`) and changed later with the command
`update_client`. What identifies a client is its id, and what it may do its identity (identity.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from arqonmesh.core.bus.refusal import Refusal

LENGTHS_MAX: Final = {"type": 32, "screen_name": 64, "personality": 256, "avatar": 512}
"""Characters."""
PEOPLE: Final = ("human", "dashboard")
"""Types of clients behind which somebody sits; everything else is a machine."""


@dataclass(frozen=True, slots=True)
class Profile:
    type: str = ""
    """human, dashboard, ai-agent, service, or whatever an application calls it."""
    screen_name: str = ""
    personality: str = ""
    avatar: str = ""

    def shown(self) -> dict[str, str]:
        """What others see; only what was given."""
        told = {
            "type": self.type,
            "screen_name": self.screen_name,
            "name": self.screen_name,
            "personality": self.personality,
            "avatar": self.avatar,
        }
        return {name: value for name, value in told.items() if value}


NOBODY: Final = Profile()


def profile_of(kind: str, screen_name: str, personality: str, avatar: str) -> Profile:
    """From the handshake: whatever is too long is cut, because nobody is there yet to be told."""
    given = (_printable(text) for text in (kind, screen_name, personality, avatar))
    cut = [text[:most] for text, most in zip(given, LENGTHS_MAX.values(), strict=True)]
    return Profile(*cut) if any(cut) else NOBODY


def changed(profile: Profile, given: dict[str, str | None]) -> Profile:
    """The profile with what is given (None: as it is; empty: taken away). Raises Refusal for what is too long."""
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        most = LENGTHS_MAX[name]
        if len(value) > most or value != _printable(value):
            raise Refusal(
                "bus.invalid-field",
                f"{name} is {value[:64]!r}; it needs to be at most {most} printable characters",
                field=f"args.{name}",
                hint='{"type": "command", "command": "update_client", "args": {"screen_name": "Ada"}}',
            )
        fields[name] = value
    return replace(profile, **fields)


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())
