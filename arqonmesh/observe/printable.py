"""What others wrote, for a terminal: shown, not obeyed."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text on one line, with what a terminal would act upon as \uXXXX: escapes, bells, line ends, directions."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
