"""Text for people: lines, tables and state words. Colours only on a terminal, and never with NO_COLOR.

A state is always told by a word, and by a glyph of its own shape; colour only repeats it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console

STATES: Final[dict[str, tuple[str, str]]] = {
    # word: (glyph, style)
    "alive": ("●", "green"),
    "up": ("●", "green"),
    "healthy": ("●", "green"),
    "suspect": ("◐", "yellow"),
    "degraded": ("◐", "yellow"),
    "waiting": ("◐", "yellow"),
    "dialling": ("◐", "yellow"),
    "opening": ("◐", "yellow"),
    "dead": ("✖", "red"),
    "down": ("✖", "red"),
    "critical": ("✖", "red"),
    "given-up": ("✖", "red"),
    "one-way": ("◐", "yellow"),
    "left": ("○", "dim"),
}

PIPE_WIDTH: Final = 10_000
"""Columns assumed where there is no terminal: a table in a pipe is for other programs and never wraps."""

Part = tuple[str, str]
"""Text and its style ("" for none)."""


def glyph(state: str) -> str:
    return STATES.get(state, ("·", ""))[0]


def tell_terminal(text: str) -> None:
    """What a person wants to know while nothing else is printed: on standard error, where that is a terminal."""
    screen = Screen(sys.stderr)
    if screen.terminal:
        screen.line((text, "dim"))


def tell_person(text: str) -> None:
    """What matters whoever listens: on standard error, beside what is printed for programs."""
    Screen(sys.stderr).line(text)


def style(state: str) -> str:
    return STATES.get(state, ("·", ""))[1]


def state_word(state: str) -> str:
    return f"{glyph(state)} {state}"


def milliseconds(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1f} ms"


def share(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.1%}"


class Screen:
    """Writes to one text stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.terminal = stream.isatty()
        self._coloured = self.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._console: Console | None = None

    def line(self, *parts: Part | str) -> None:
        """One line of parts, each plain text or (text, style); never wrapped, nothing in it is markup."""
        if not self._coloured:
            self._stream.write("".join(part if isinstance(part, str) else part[0] for part in parts) + "\n")
            return
        from rich.text import Text

        self._rich().print(Text.assemble(*parts), soft_wrap=True)

    def fields(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Names and values below each other."""
        rows = list(pairs)
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            self.line((name.ljust(width) + "  ", "dim"), (value, style(value.split(" ")[-1])))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str = "none") -> None:
        """Aligned columns; a cell that is a state word gets its colour."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold" if self._coloured else "")
        for header in headers:
            table.add_column(header, no_wrap=not self.terminal, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style(cell.split(" ")[-1]) if cell else "") for cell in row))
        if table.row_count == 0:
            self.line(empty)
            return
        console = self._rich()
        with console.capture() as captured:
            console.print(table)
        self._stream.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))

    def _rich(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=self._stream,
                highlight=False,
                markup=False,
                emoji=False,
                no_color=not self._coloured,
                force_terminal=self._coloured,
                width=None if self.terminal else PIPE_WIDTH,
            )
        return self._console
