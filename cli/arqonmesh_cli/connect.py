"""One question to the node behind the chosen data directory, asked over its control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from arqonmesh.errors import ArqonError, TimedOut
from arqonmesh_cli.processes import listener_pid, stopped
from arqonmesh_cli.screen import tell_terminal
from arqonmesh_cli.where import Place, place_of

if TYPE_CHECKING:
    from arqonmesh.api.client import NodeClient

T = TypeVar("T")

SILENCE_S: Final = 2.0
"""After so long without an answer it is looked at who is asked; a stopped process is not waited for any longer."""


def ask(place: Place, question: Callable[[NodeClient], Awaitable[T]], *, answered: asyncio.Event | None = None) -> T:
    """The answer to `question`, which sets `answered` when it goes on for longer with an answer. Raises what the node
    raised, NotRunning when there is none, TimedOut `api.deadline` with the process that is late or stopped."""
    return asyncio.run(answer_of(place, question, answered=answered))


async def answer_of(
    place: Place, question: Callable[[NodeClient], Awaitable[T]], *, answered: asyncio.Event | None = None
) -> T:
    """As `ask`, for who has a loop already."""
    try:
        async with client_of(place) as node:
            asked = asyncio.ensure_future(question(node))
            heard = asyncio.ensure_future((answered or asyncio.Event()).wait())
            try:
                done, _ = await asyncio.wait((asked, heard), timeout=SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    look_whether_stopped(place)
                    pid = listener_pid(place.socket)
                    tell_terminal(f"waiting for process {pid or 'unknown'} in {place.data_dir} to answer")
                return await asked
            finally:
                heard.cancel()
                asked.cancel()
                await asyncio.wait((asked,))
    except ArqonError as error:
        from arqonmesh.api.failures import QueueFull

        pid = listener_pid(place.socket) if error.code == "api.deadline" else None
        if pid is not None:
            raise _late(place, pid, taken=not isinstance(error, QueueFull)) from error
        error.hint = place.hinted(error.hint)
        raise


def ask_at(data_dir: Path | None, context: str | None, question: Callable[[NodeClient], Awaitable[T]]) -> T:
    """`ask` at the place that the shared options name."""
    return ask(place_of(data_dir, context), question)


def look_whether_stopped(place: Place) -> None:
    """Raises TimedOut `api.deadline` when the node's process is stopped and cannot answer anybody."""
    pid = listener_pid(place.socket)
    if pid is not None and stopped(pid):
        raise _late(place, pid, taken=True)


def client_of(place: Place) -> NodeClient:
    from arqonmesh.api.client import NodeClient

    return NodeClient(place.socket, start_hint=place.start_hint)


def _late(place: Place, pid: int, *, taken: bool) -> TimedOut:
    """What a process that gives no answer is told as: with what lets it go on, or ends it. `taken`: it had room for the
    call, at least."""
    if stopped(pid):
        return TimedOut(
            "api.deadline",
            f"process {pid}, the node in {place.data_dir}, is stopped and answers nobody; it needs to go on, or to end",
            hint=f"kill -CONT {pid}, or kill -9 {pid}    # ps -o stat= -p {pid} says T while it is stopped",
        )
    did = "took the call and did not answer in time" if taken else "takes no calls, and its queue of them is full"
    return TimedOut(
        "api.deadline",
        f"process {pid}, the node in {place.data_dir}, {did}; it needs to be less busy, or to end",
        hint=f"arqon node logs {place.option}    # ps -o stat= -p {pid} shows its state, kill -9 {pid} ends it",
    )
