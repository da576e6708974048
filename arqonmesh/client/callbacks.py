"""Calling an application's handlers, plain or async: what they raise is logged, or is the asker's error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from arqonmesh.client.mailboxes import Mailbox
from arqonmesh.client.message import Message
from arqonmesh.errors import ArqonError

_log: Final = logging.getLogger("arqonmesh.client")
_Told = TypeVar("_Told")


class Answers(Protocol):
    """Who sends an answer to whoever asked."""

    async def answer(self, question: Message, payload: Any, *, metadata: dict[str, Any] | None = None) -> None: ...


async def call(handler: Callable[[_Told], Awaitable[None] | None], what: _Told) -> None:
    try:
        result = handler(what)
        if result is not None:
            await result
    except Exception:
        _log.exception("a handler of the bus client failed")


async def serve(box: Mailbox, handler: Callable[[Message], Awaitable[None] | None]) -> None:
    """Hand on what comes, one after the other, until nothing more will."""
    try:
        async for message in box.messages():
            await call(handler, message)
    except ArqonError:
        return  # the connection is lost for good; `wait_closed` and `on_state` say so


def answering(bus: Answers, handler: Callable[[Message], Any]) -> Callable[[Message], Awaitable[None]]:
    """A handler that answers each request with what `handler` returns, or with its error."""

    async def answer(message: Message) -> None:
        if not message.correlation_id:
            return
        try:
            payload = handler(message)
            payload = await payload if isinstance(payload, Awaitable) else payload
        except Exception as wrong:
            code, hint = (wrong.code, wrong.hint) if isinstance(wrong, ArqonError) else ("bus.request-failed", "")
            error = {"code": code, "message": str(wrong) or type(wrong).__name__, "hint": hint}
            await bus.answer(message, None, metadata={"error": error})
        else:
            await bus.answer(message, payload)

    return answer
