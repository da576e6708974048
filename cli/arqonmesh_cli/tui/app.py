"""The textual side of the live screen: asks the node twice a second, follows its events, turns keys into state.

All data comes over the control socket. When the node dies the screen says so, keeps what it knew and keeps asking.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.widget import Widget

from arqonmesh.api.client import NodeClient
from arqonmesh.errors import ArqonError
from arqonmesh_cli.connect import SILENCE_S, client_of
from arqonmesh_cli.tui.details import details
from arqonmesh_cli.tui.page import Line, page, text_of
from arqonmesh_cli.tui.state import FILTER_MAX, State
from arqonmesh_cli.where import Place

POLL_S: Final = 0.5


class Canvas(Widget):
    """The whole screen: what page.py draws for its size."""

    DEFAULT_CSS = "Canvas { width: 100%; height: 100%; }"

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def lines(self) -> list[Line]:
        return page(self._state, self.size.width, self.size.height, time.monotonic())

    def render(self) -> Text:
        return Text("\n", no_wrap=True, end="").join(Text.assemble(*line) for line in self.lines())


class LiveMesh(App[None]):
    """`arqon mesh status` on a terminal."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; color: ansi_default; overflow: hidden; }"
    BINDINGS: ClassVar = [("ctrl+c", "quit", "quit")]

    def __init__(self, client: NodeClient) -> None:
        super().__init__(ansi_color=True)
        self.state = State()
        self._client = client
        self._canvas = Canvas(self.state)
        self.looks = 0
        """Answers and failures so far; tests and captures wait for it."""

    def compose(self) -> ComposeResult:
        yield self._canvas

    def on_mount(self) -> None:
        self.run_worker(self._poll(), group="poll")
        self.run_worker(self._follow(), group="watch")

    def text(self) -> str:
        """The screen as plain text."""
        return text_of(self._canvas.lines())

    async def _poll(self) -> None:
        while True:
            asked_s, look = time.monotonic(), asyncio.ensure_future(self._look())
            try:
                while not (await asyncio.wait((look,), timeout=POLL_S))[0]:
                    if time.monotonic() - asked_s >= SILENCE_S:  # the call has its own, much longer time
                        self.state.silent(None, asked_s)
                        self._canvas.refresh()
                look.result()
            except ArqonError as error:
                self.state.silent(error, asked_s)
            finally:
                look.cancel()
            self.looks += 1
            self._canvas.refresh()
            await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        self.state.answered(await self._client.mesh_status())
        await self._look_closer()

    async def _follow(self) -> None:
        while True:
            try:
                async for event in self._client.watch():
                    self.state.happened(event)
            except ArqonError:
                pass  # the banner tells it: _poll meets the same silence
            await asyncio.sleep(POLL_S)

    async def _look_closer(self) -> None:
        """What the detail page says, also of what has changed since it was opened."""
        status, chosen = self.state.status, self.state.detail
        if status is None or chosen is None or (self.state.paused and self.state.detail_lines is not None):
            return
        lines = await details(self._client, status, chosen)
        if self.state.detail is chosen:
            self.state.detail_lines = lines
            self._canvas.refresh()

    def on_key(self, event: events.Key) -> None:
        event.stop()
        if self.state.typing:
            self._typed(event)
        else:
            self._pressed(event.key)
        self._canvas.refresh()

    def _typed(self, event: events.Key) -> None:
        state = self.state
        if event.key == "escape":
            state.filter, state.typing = "", False
        elif event.key == "enter":
            state.typing = False
        elif event.key == "backspace":
            state.filter = state.filter[:-1]
        elif event.is_printable and event.character and len(state.filter) < FILTER_MAX:
            state.filter += event.character
        state.move(0)

    def _pressed(self, key: str) -> None:
        state = self.state
        if key == "q":
            self.exit()
        elif key == "question_mark":
            state.view = "mesh" if state.view == "help" else "help"
        elif key == "escape":
            if state.view == "mesh":
                state.filter = ""
            state.view, state.detail = "mesh", None
        elif key == "space":
            state.paused = not state.paused
        elif state.view != "mesh":
            return
        elif key == "slash":
            state.typing = True
        elif key in ("down", "j"):
            state.move(1)
        elif key in ("up", "k"):
            state.move(-1)
        elif key == "enter":
            state.detail, state.detail_lines = state.selected(), None
            if state.detail is not None:
                state.view = "detail"
                self.run_worker(self._look_closer(), group="detail", exclusive=True)


def run_live(place: Place) -> None:
    """Show the live screen until the person quits. Raises NotRunning when there is no node to begin with."""

    async def show() -> None:
        async with client_of(place) as client:
            await client.node_status()
            await LiveMesh(client).run_async()

    asyncio.run(show())
