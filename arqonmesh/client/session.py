"""A client's session: one connection at a time, replaced when it is lost, with what was joined and what was seen.

    connected --lost--> reconnecting --dialled, welcomed, joined again--> connected
        |                    |
        +---- close, or lost without `reconnect`, or denied ----> closed

While it reconnects, who sends waits. Commands that were under way fail: nobody knows whether the bus ran them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from arqonmesh.client import mailboxes
from arqonmesh.client.connection import Connection
from arqonmesh.client.endpoints import Endpoints
from arqonmesh.client.failures import Busy, ended, frame_too_large, no_answer, none_of, told_by_the_bus
from arqonmesh.client.link import Link
from arqonmesh.client.mailboxes import Mailboxes
from arqonmesh.client.message import Message, encode, is_echo, object_of
from arqonmesh.client.questions import Questions
from arqonmesh.client.resume import Resumed
from arqonmesh.client.subscriptions import Subscriptions
from arqonmesh.client.token import Token, TokenSource
from arqonmesh.errors import ArqonError, Denied, PeerError

State: TypeAlias = Literal["connected", "reconnecting", "closed"]

COMMAND_TIMEOUT_S: Final = 10.0
DENIALS_MAX: Final = 3
"""Refused tokens in a row after which a token source is asked no more."""
PAST_IDS_MAX: Final = 64

_log: Final = logging.getLogger("arqonmesh.client")


class Session:
    """What is behind a `BusClient`. `resumed` and `changed` are called as it goes on in a channel, or changes state."""

    def __init__(
        self, endpoints: Endpoints, token: TokenSource, *, reconnect: bool, heartbeat_s: float, tls: Any = None
    ) -> None:
        self.endpoints = endpoints
        self.token = Token(token)
        self.client_id = ""
        self.state: State = "reconnecting"
        self.reconnects = 0
        self.duplicates = 0
        """Events that came again and were not handed on."""
        self.questions = Questions()
        self.boxes = Mailboxes(self._room_again)
        self.subscriptions = Subscriptions(
            endpoints, self.ask, self._take, lambda one: self.resumed(one), returns=reconnect
        )
        self.resumed: Callable[[Resumed], None] = lambda resumed: None
        self.changed: Callable[[State], None] = lambda state: None
        self._link = Link(self, endpoints, self.token, heartbeat_s=heartbeat_s, tls=tls)
        self._reconnect = reconnect
        self._past_ids: dict[str, None] = {}
        self._problem: ArqonError | None = None
        self._closing = False
        self._writable = asyncio.Event()
        self._redial: asyncio.Task[None] | None = None
        self._renewal: asyncio.Future[None] | None = None

    # --- doing -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect to the first node that takes this client. Raises what each said when none does."""
        failures: list[ArqonError] = []
        for _ in self.endpoints.urls:
            try:
                await self._dial()
            except ArqonError as failure:
                self._drop()
                self.endpoints.failed()
                failures.append(failure)
            else:
                self._become("connected")
                return
        raise none_of(self.endpoints.urls, failures)

    async def send(self, frame: bytes) -> None:
        """Send one frame; waits while the connection is backed up or being replaced. Raises once it is all over."""
        while True:
            if self._problem is not None:
                raise self._problem
            connection = self._link.connection
            if connection is not None and connection.can_write:
                if len(frame) > self._link.frame_bytes_max > 0:  # the bus would end the connection, and others' frames
                    raise frame_too_large(self.endpoints.current, len(frame), self._link.frame_bytes_max)
                connection.send(frame)
                return
            self._writable.clear()
            await self._writable.wait()

    async def ask(
        self, name: str, args: dict[str, Any], timeout_s: float = COMMAND_TIMEOUT_S, *, patience_s: float | None = None
    ) -> Message:
        """Run a command. Raises the bus's own error, TimedOut, or PeerError when the connection ends meanwhile.

        A bus that is busy is asked again after the pause that it names, for `patience_s`; by default `timeout_s`.
        With `patience_s`, time counts from when anything was last heard.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + (timeout_s if patience_s is None else patience_s)
        connection = self._link.connection
        while True:
            try:
                frame = {"type": "command", "command": name, "args": args, "v": 1}
                return await self.answer_to(frame, name, timeout_s, patient=patience_s is not None)
            except Busy as busy:
                pause_s = busy.retry_after_s * (1 + random.random())
                if loop.time() + pause_s > until_s:
                    raise
                await asyncio.sleep(pause_s)
                if self._link.connection is not connection:  # who redials has begun anew
                    raise

    async def answer_to(
        self, frame: dict[str, Any], what: str, timeout_s: float, *, by_anyone: bool = False, patient: bool = False
    ) -> Message:
        """Send a frame with an id of its own and wait for what answers it: the bus, or `by_anyone` a client."""
        id_, answer = self.questions.ask()
        frame["id"] = id_
        if by_anyone:
            frame["correlation_id"] = id_
        self._room_again()
        try:
            async with asyncio.timeout(timeout_s):
                await self.send(encode(frame))
                message = None if patient else await answer
            if message is None:
                message = await self.questions.wait(answer, timeout_s, self._link.signs)
        except TimeoutError:
            raise no_answer(self.endpoints.current, what, timeout_s) from None
        finally:
            self.questions.forget(id_)
        if message.type == "error":
            raise told_by_the_bus(message)
        return message

    @property
    def frame_bytes_max(self) -> int:
        return self._link.frame_bytes_max

    @property
    def failure(self) -> ArqonError | None:
        """What ended it, unless `close` did."""
        return None if self._closing else self._problem

    async def close(self) -> None:
        """Say goodbye. Repeats are harmless."""
        self._closing = True
        for task in (self._redial, self._renewal):
            if task is not None:
                task.cancel()
        self.subscriptions.refill.stop()
        connection, self._link.connection = self._link.connection, None
        problem = PeerError("bus.closed", "this client was closed")
        if self._problem is None:
            self._problem = problem  # who sends now is told so
        if connection is not None:
            await connection.close()
        self._over(problem)

    # --- from the connection ---------------------------------------------------------------------------------

    def received(self, message: Message) -> None:
        if self.questions.answered(message):
            return
        if message.type in ("event", "telemetry"):
            if not self.subscriptions.catch_up.holds(message.channel, message):
                self._take(message)
            return
        if message.type == "system":
            self._notice(object_of(message))
        elif message.type == "error" and (told := object_of(message)).get("code") == "bus.rate-limited":
            self.subscriptions.too_fast(told.get("retry_after_ms"))
        self._put(message)

    def _notice(self, said: dict[str, Any]) -> None:
        """What the bus says by itself and concerns the connection."""
        if said.get("event") == "expiring":
            if self.token.renews:
                self._renewal = asyncio.ensure_future(self._renew())
            else:
                _log.warning("this client's token ends at %s, and nothing gives it a newer one", said.get("expires"))
        elif said.get("event") == "gap":  # its policy for slow clients dropped something of what waited for this one
            self.subscriptions.dropped(int(said.get("dropped") or 0))

    def _take(self, message: Message) -> bool:
        """An event, in its place among the others of its channel. False when it came before, or is our own."""
        if message.epoch and not self.subscriptions.positions.advance(message.channel, message):
            self.duplicates += 1
            return False
        sender = message.from_
        if (sender == self.client_id or sender in self._past_ids) and not is_echo(message):
            return False  # from the history; nobody is sent live what it published itself
        self._put(message)
        return True

    def _put(self, message: Message) -> None:
        connection = self._link.connection
        if self.boxes.put(message) and connection is not None:
            self._hold_back(connection)

    def writable(self) -> None:
        self._writable.set()

    def lost(self, why: str) -> None:
        problem = ended(self.endpoints.current, why)
        self.questions.fail(problem)
        self.subscriptions.refill.stop()
        if self._redial is not None and not self._redial.done():
            return  # it sees for itself, and goes on to the next node
        self.endpoints.lost(asyncio.get_running_loop().time() - self._link.since_s)
        if self._reconnect and not self._closing:
            self._become("reconnecting")
            self._redial = asyncio.get_running_loop().create_task(self._dial_again())
        else:
            self._over(problem)

    # --- connecting ------------------------------------------------------------------------------------------

    async def _dial(self) -> None:
        await self._link.dial()
        if self.client_id:
            self._past_ids[self.client_id] = None
            if len(self._past_ids) > PAST_IDS_MAX:
                del self._past_ids[next(iter(self._past_ids))]
        self.client_id = self._link.client_id
        self.subscriptions.positions.connected(self._link.node)
        self._writable.set()

    async def _dial_again(self) -> None:
        denials = 0
        while True:
            await asyncio.sleep(self.endpoints.wait_s())
            try:
                await self._dial()
                resumed = await self.subscriptions.join_again()
            except Denied as denied:
                denials += 1
                if not self.token.renews or denials >= DENIALS_MAX:
                    self._drop()
                    self._over(denied)
                    return
            except ArqonError as failure:
                _log.debug("not connected again yet: %s", failure)
            else:
                if self._link.connection is not None:
                    self.reconnects += 1
                    self._become("connected")
                    for one in resumed:
                        self.resumed(one)
                    return
            self._drop()  # a connection without its subscriptions would look like one with nothing to say
            self.endpoints.failed()

    async def _renew(self) -> None:
        """The token ends soon: show the next one, without a reconnect. If that fails, the reconnect will ask again."""
        try:
            token = await self.token.present()
            if token:
                await self.ask("authenticate", {"token": token})
        except ArqonError as failure:
            _log.warning("the token ends soon, and no newer one was taken: %s", failure)

    def _drop(self) -> None:
        self.subscriptions.refill.stop()
        if self._link.drop():
            self.questions.fail(ended(self.endpoints.current, "connection given up"))

    # --- inside ----------------------------------------------------------------------------------------------

    def _hold_back(self, connection: Connection) -> None:
        """A box is full: read no further, unless somebody waits for an answer, which comes behind what is there."""
        if not len(self.questions) or self.boxes.fullest >= 4 * mailboxes.QUEUE_MAX:
            connection.read(False)

    def _room_again(self) -> None:
        """Read on when the boxes are half empty, or when an answer is wanted and they are not over-full."""
        connection = self._link.connection
        if connection is None:
            return
        fullest = self.boxes.fullest
        if fullest <= mailboxes.QUEUE_MAX // 2 or (len(self.questions) and fullest < 4 * mailboxes.QUEUE_MAX):
            connection.read(True)

    def _become(self, state: State) -> None:
        if self.state != state:
            self.state = state
            self.changed(state)

    def _over(self, problem: ArqonError) -> None:
        if self._problem is None:
            self._problem = problem
        self.questions.fail(problem)
        self.boxes.end(None if self._closing else problem)
        self._writable.set()
        self._become("closed")
